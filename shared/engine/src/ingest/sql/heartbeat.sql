-- ingest.heartbeat: no row means lease lost or job cancelled; the worker's own row is renewed too, if it has one
with worker as (
    update ingestion_workers set seen_at = now()
    where worker_id = (select worker_id from ingestion_work_units where id = $1 and epoch = $2)
)
update ingestion_work_units u
set heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
from jobs j
where u.id = $1 and u.epoch = $2 and u.status in ('claimed', 'processing')
  and j.id = u.job_id and j.cancel_requested_at is null
