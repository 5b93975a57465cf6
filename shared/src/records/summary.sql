-- records.summary
select (select count(*) from pubmed_archive where deleted_at is null) as live,
       (select count(*) from pubmed_archive where deleted_at is not null) as deleted,
       (select count(*) from pubmed_archive_history) as payloads,
       (select count(*) from archive_events) as events,
       (select accepted_at from archive_events order by seq desc limit 1) as last_change_at,
       (select count(*) from jobs where state = 'queued') as jobs_queued,
       (select count(*) from jobs where state = 'running') as jobs_running,
       (select count(distinct worker_id) from ingestion_work_units where status in ('claimed', 'processing')) as workers,
       (select count(*) from quarantine) as quarantined
