-- ingest.restart
update ingestion_work_units set retry_count = 0
where job_id = $1 and retry_count > 0
  and (status = 'pending' or (status in ('claimed', 'processing') and worker_id = any ($2)))
