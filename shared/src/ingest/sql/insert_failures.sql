-- ingest.insert_failures
insert into ingestion_failures (job_id, unit_id, pmid, outcome, reason, uri)
select $1, $2, t.pmid, t.outcome, t.reason, t.uri
from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as t (pmid, outcome, reason, uri)
