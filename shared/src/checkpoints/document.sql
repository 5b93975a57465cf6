-- checkpoints.document
select e.pmid, e.content_hash, e.s3_uri
from (
    select pmid, outcome, content_hash, s3_uri
    from archive_events
    where seq <= $1 and pmid = $3
    order by seq desc
    limit 1
) as e
where e.outcome = 'archived'
  and (cardinality($2::text[]) = 0
       or exists (select from query_members m
                  where m.pmid = e.pmid and m.query_key = any ($2) and m.first_seq <= $1))
