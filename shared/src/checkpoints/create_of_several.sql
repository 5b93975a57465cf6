-- checkpoints.create_of_several: each record once, however many of the queries it belongs to
insert into corpus_checkpoints
    (checkpoint_id, name, description, primary_queries, parent_checkpoint_id, seq, total_documents, digest, principal)
select $1, $2, $3, $4::text[], $5, c.last_seq, s.documents,
       lpad(to_hex(s.w1), 16, '0') || lpad(to_hex(s.w2), 16, '0') || lpad(to_hex(s.w3), 16, '0') || lpad(to_hex(s.w4), 16, '0'),
       $6
from archive_event_counter c
cross join (
    select count(*) as documents,
           coalesce(wrap_64(sum(corpus_word(h, 1))), 0) as w1, coalesce(wrap_64(sum(corpus_word(h, 2))), 0) as w2,
           coalesce(wrap_64(sum(corpus_word(h, 3))), 0) as w3, coalesce(wrap_64(sum(corpus_word(h, 4))), 0) as w4
    from (
        select corpus_hash(a.pmid, a.content_hash) as h
        from (select distinct pmid from query_members where query_key = any ($4)) m join pubmed_archive a using (pmid)
        where a.content_hash is not null
        offset 0
    ) as hashes
) as s
on conflict do nothing
returning *
