-- ingest.finalise: exactly once, and only when nothing is left; the job is locked
update jobs
set state = $2, result = $3, result_ref = $4, error = $5, progress = $6,
    completed_at = now(), expires_at = now() + make_interval(hours => ttl_hours)
where id = $1 and state in ('queued', 'running')
  and not exists (select from ingestion_work_units
                  where job_id = $1 and status in ('pending', 'claimed', 'processing'))
