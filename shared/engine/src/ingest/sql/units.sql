-- ingest.units
select u.id, u.phase, u.seq, u.label, u.status, u.tally, u.outcomes_ref, u.error_code, u.error_message, u.completed_at,
       exists (select from ingestion_unit_outcomes o where o.unit_id = u.id) as has_outcomes
from ingestion_work_units u
join jobs j on j.id = u.job_id
where u.job_id = $1
order by u.phase, u.seq
