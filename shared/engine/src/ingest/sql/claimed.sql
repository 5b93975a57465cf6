-- ingest.claimed: what the worker needs of the unit it claimed
select u.id, u.job_id, u.phase, u.seq, u.input, u.cursor, u.retry_count, u.epoch, u.tally,
       j.tool, j.params, j.trace_id, j.principal,
       (select count(*) from ingestion_unit_outcomes o where o.unit_id = u.id) as batches
from ingestion_work_units u
join jobs j on j.id = u.job_id
where u.id = $1 and u.worker_id = $2 and u.status = 'claimed'
