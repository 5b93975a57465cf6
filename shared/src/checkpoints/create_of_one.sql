-- checkpoints.create_of_one: counter and digest of one view; a query without records has no digest yet
insert into corpus_checkpoints
    (checkpoint_id, name, description, primary_queries, parent_checkpoint_id, seq, total_documents, digest, principal)
select $1, $2, $3, $4::text[], $5, c.last_seq, coalesce(d.documents, 0),
       lpad(to_hex(coalesce(d.w1, 0)), 16, '0') || lpad(to_hex(coalesce(d.w2, 0)), 16, '0')
           || lpad(to_hex(coalesce(d.w3, 0)), 16, '0') || lpad(to_hex(coalesce(d.w4, 0)), 16, '0'),
       $6
from archive_event_counter c left join corpus_digests d on d.query_key = coalesce(($4::text[])[1], '')
on conflict do nothing
returning *
