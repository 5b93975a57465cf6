-- ingest.commit_unit: progress was made, so earlier attempts are forgotten
update ingestion_work_units
set cursor = $3, tally = $4, retry_count = 0, heartbeat_at = now()
where id = $1 and epoch = $2 and status = 'processing'
