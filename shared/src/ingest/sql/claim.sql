-- ingest.claim
select u.id, u.job_id, u.phase, u.seq, u.input, u.cursor, u.retry_count, u.epoch, u.tally,
       j.tool, j.params, j.trace_id,
       (select count(*) from ingestion_unit_outcomes o where o.unit_id = u.id) as batches
from claim_work_unit($1, $2, $3, 1, $4, $5, $6, $7) u
join jobs j on j.id = u.job_id
