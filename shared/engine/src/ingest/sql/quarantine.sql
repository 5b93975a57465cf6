-- ingest.quarantine
insert into quarantine (job_id, unit_id, n, record_type, record_id, source, reason, uri, source_metadata)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (unit_id, n) do nothing
