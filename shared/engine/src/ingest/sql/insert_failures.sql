-- ingest.insert_failures
insert into ingestion_failures (job_id, unit_id, record_type, record_id, outcome, reason, uri)
select $1, $2, t.record_type, t.record_id, t.outcome, t.reason, t.uri
from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) as t (record_type, record_id, outcome, reason, uri)
