-- ingest.begin_ingest: returns whether the job may go on; not if it is a release that another job has, or had
with made as (
    insert into ingestion_jobs (
        id, organization_id, job_type, external_version, is_whole, is_release, source_digest, status, started_at
    )
    select id, principal, tool, $2, $3, $4, $5, 'parsing', now() from jobs where id = $1
    on conflict do nothing
    returning id
)
select exists (select from made) or exists (select from ingestion_jobs where id = $1)
