-- ingest.renew_worker
insert into ingestion_workers (worker_id, hostname) values ($1, $2)
on conflict (worker_id) do update set seen_at = now()
