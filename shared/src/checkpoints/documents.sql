-- checkpoints.documents of the whole archive ($2 is empty)
select e.pmid, e.content_hash, e.s3_uri
from (
    select distinct on (pmid) pmid, outcome, content_hash, s3_uri
    from archive_events
    where seq <= $1 and pmid > $3 and cardinality($2::text[]) = 0
    order by pmid, seq desc
) as e
where e.outcome = 'archived'
order by e.pmid
limit $4
