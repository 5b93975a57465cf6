-- projections.events: in order; each is visible only when all before it are
select seq, record_type, coalesce(record_id, pmid) as record_id, outcome = 'deleted' as is_deletion, content_hash, s3_uri,
       accepted_at, integrity, integrity_rules
from archive_events
where seq > $1 and ($2::bigint is null or seq <= $2)
order by seq
limit $3
