-- ingest.advance_phase: under the job's lock
select exists (select from ingestion_work_units
               where job_id = $1 and status in ('pending', 'claimed', 'processing')) as left_over,
       units_failed > 0 as failed, cancel_requested_at is not null as cancelled
from jobs
where id = $1
