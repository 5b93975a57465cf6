-- ingest.heartbeat: no row means lease lost or job cancelled
update ingestion_work_units u
set heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
from jobs j
where u.id = $1 and u.epoch = $2 and u.status in ('claimed', 'processing')
  and j.id = u.job_id and j.cancel_requested_at is null
