-- ingest.quarantine
insert into quarantine (job_id, unit_id, n, pmid, source, reason, uri, api, as_of, file_number, position)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (unit_id, n) do nothing
