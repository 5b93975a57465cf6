-- checkpoints.documents of some queries: their members, each as the log has it last
select m.pmid, e.content_hash, e.s3_uri
from (select distinct pmid from query_members where query_key = any ($2) and first_seq <= $1 and pmid > $3) as m
cross join lateral (
    select outcome, content_hash, s3_uri from archive_events where pmid = m.pmid and seq <= $1 order by seq desc limit 1
) as e
where e.outcome = 'archived'
order by m.pmid
limit $4
