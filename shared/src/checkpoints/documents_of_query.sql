-- checkpoints.documents of one query: its members in the order of its key, each as the log has it last
select m.pmid, e.content_hash, e.s3_uri
from query_members m
cross join lateral (
    select outcome, content_hash, s3_uri from archive_events where pmid = m.pmid and seq <= $1 order by seq desc limit 1
) as e
where m.query_key = ($2::text[])[1] and m.first_seq <= $1 and m.pmid > $3 and e.outcome = 'archived'
order by m.pmid
limit $4
