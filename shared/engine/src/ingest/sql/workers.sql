-- ingest.workers: workers with a unit that were heard of lately, without those that are known by their locks
select count(distinct worker_id) from ingestion_work_units
where status in ('claimed', 'processing') and worker_id <> all ($1)
  and heartbeat_at > now() - make_interval(secs => $2)
