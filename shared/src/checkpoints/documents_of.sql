-- checkpoints.documents_of
select e.pmid, e.content_hash, e.s3_uri
from unnest($3::text[]) as asked(pmid)
cross join lateral (
    select pmid, outcome, content_hash, s3_uri
    from archive_events
    where seq <= $1 and pmid = asked.pmid
    order by seq desc
    limit 1
) as e
where e.outcome = 'archived'
  and (cardinality($2::text[]) = 0
       or exists (select from query_members m
                  where m.pmid = e.pmid and m.query_key = any ($2) and m.first_seq <= $1))
