-- The ingest engine: releases and files, work units, their outcomes, logs.

-- One row for a job that ingests a release or files; what the monitoring queries read.
create table ingestion_jobs (
    id                uuid primary key references jobs on delete cascade,
    organization_id   text not null,
    job_type          text not null,
    external_version  text not null,
    internal_version  text,
    source_url        text,
    source_metadata   jsonb not null default '{}',
    is_whole          boolean not null default true,
    status            text not null default 'pending'
                      check (status in ('pending', 'downloading', 'download_verified', 'parsing', 'storing',
                                        'completed', 'failed', 'cancelled')),
    total_records     bigint,
    records_processed bigint not null default 0,
    records_stored    bigint not null default 0,
    records_failed    bigint not null default 0,
    created_at        timestamptz not null default now(),
    started_at        timestamptz,
    completed_at      timestamptz
);
create unique index ingestion_jobs_release on ingestion_jobs (organization_id, job_type, external_version)
    where status not in ('failed', 'cancelled') and is_whole and job_type <> 'pubmed.ingest_files';

-- Work units: the truth about what is to be done. `epoch` grows with every claim and is the fencing
-- token: whoever writes for a unit names the epoch it claimed. `retry_count` counts attempts that
-- ended without any progress. Unit 0 of a phase plans the phase.
create table ingestion_work_units (
    id                     uuid primary key,
    job_id                 uuid not null references jobs on delete cascade,
    phase                  text not null,
    seq                    integer not null,
    input                  jsonb not null,
    cursor                 jsonb,
    status                 text not null default 'pending'
                           check (status in ('pending', 'claimed', 'processing', 'completed', 'failed', 'cancelled')),
    priority               smallint not null default 0,
    -- Set when only workers of one machine can do it: it reads local files.
    required_hostname      text,
    epoch                  bigint not null default 0,
    retry_count            integer not null default 0,
    max_retries            integer not null default 3,
    not_before             timestamptz not null default now(),
    worker_id              text,
    worker_hostname        text,
    claimed_at             timestamptz,
    heartbeat_at           timestamptz,
    lease_until            timestamptz,
    completed_at           timestamptz,
    processing_duration_ms bigint,
    tally                  jsonb not null default '{}',
    outcomes_ref           text,
    error_code             text,
    error_message          text,
    unique (job_id, phase, seq),
    check (status <> 'failed' or error_code is not null)
);
create index ingestion_work_units_claim on ingestion_work_units (priority desc, not_before, id) where status = 'pending';
create index ingestion_work_units_lease on ingestion_work_units (lease_until) where status in ('claimed', 'processing');
create index ingestion_work_units_active on ingestion_work_units (job_id)
    where status in ('pending', 'claimed', 'processing');

-- Workers listen on bio_mcp_work.
create function work_units_notify() returns trigger language plpgsql as $$
begin
    perform pg_notify('bio_mcp_work', new.job_id::text);
    return null;
end $$;
create trigger work_units_notify_new after insert on ingestion_work_units
    for each row execute function work_units_notify();
create trigger work_units_notify_again after update on ingestion_work_units
    for each row when (new.status = 'pending' and old.status <> 'pending') execute function work_units_notify();

-- Outcomes of the batches of a running unit, as NDJSON frames that are joined into its manifest
-- part when it ends; committed with the batch, so every record stands in exactly one.
create table ingestion_unit_outcomes (
    unit_id  uuid not null references ingestion_work_units on delete cascade,
    batch    bigint not null,
    outcomes bytea not null,
    primary key (unit_id, batch)
);

-- Files a job reads: registered by name, size and hash.
create table ingestion_raw_files (
    job_id        uuid not null references jobs on delete cascade,
    file_name     text not null,
    s3_uri        text not null,
    size_bytes    bigint not null,
    sha256        text not null,
    expected_md5  text,
    computed_md5  text,
    verified_at   timestamptz,
    primary key (job_id, s3_uri)
);

create table ingestion_job_logs (
    id      bigint generated always as identity primary key,
    job_id  uuid not null references jobs on delete cascade,
    at      timestamptz not null default clock_timestamp(),
    level   text not null check (level in ('info', 'warn', 'error')),
    message text not null,
    fields  jsonb not null default '{}'
);
create index ingestion_job_logs_job on ingestion_job_logs (job_id, id);

-- Records that could not be archived; their bytes lie in the archive under quarantine/.
create table quarantine (
    id         bigint generated always as identity primary key,
    job_id     uuid not null,
    unit_id    uuid not null,
    n          bigint not null,
    pmid       text,
    source     text not null,
    reason     text not null,
    uri        text not null,
    created_at timestamptz not null default now(),
    unique (unit_id, n)
);

-- Claims up to n pending units, highest priority first, then oldest. One statement over a
-- materialised, locked candidate list: claiming by `id in (select … limit)` can claim far more.
create function claim_work_unit(
    p_worker_id text, p_hostname text, p_tools text[], p_n integer, p_unit_id uuid default null,
    p_job_units integer default 8, p_lease_secs integer default 120
) returns setof ingestion_work_units language sql as $$
    with candidate as materialized (
        select u.id
        from ingestion_work_units u
        join jobs j on j.id = u.job_id
        where u.status = 'pending'
          and u.not_before <= now()
          and j.tool = any (p_tools)
          and j.state in ('queued', 'running')
          and j.cancel_requested_at is null
          and (u.required_hostname is null or u.required_hostname = p_hostname)
          and (p_unit_id is null or u.id = p_unit_id)
          and (select count(*) from ingestion_work_units r
               where r.job_id = u.job_id and r.status in ('claimed', 'processing')) < p_job_units
        order by u.priority desc, u.not_before, u.id
        limit p_n
        for update of u skip locked
    )
    update ingestion_work_units u
    set status = 'claimed', epoch = u.epoch + 1, worker_id = p_worker_id, worker_hostname = p_hostname,
        claimed_at = now(), heartbeat_at = now(), lease_until = now() + make_interval(secs => p_lease_secs)
    from candidate c
    where u.id = c.id
    returning u.*
$$;

-- Takes one unit from a worker that is gone: back to pending, or failed when out of attempts, or
-- cancelled when its job is. Conditions are looked at again under the locks (job, then unit); with
-- p_silent_secs only if it has not been heard of for so long.
create function reclaim_work_unit(p_unit_id uuid, p_epoch bigint, p_silent_secs integer default null)
returns boolean language plpgsql as $$
declare
    v_job jobs;
    v_unit ingestion_work_units;
    v_status text;
begin
    select j.* into v_job from jobs j
    where j.id = (select job_id from ingestion_work_units where id = p_unit_id) for update;
    select * into v_unit from ingestion_work_units
    where id = p_unit_id and epoch = p_epoch and status in ('claimed', 'processing')
      and (p_silent_secs is null or heartbeat_at < clock_timestamp() - make_interval(secs => p_silent_secs))
    for update;
    if not found then
        return false;
    end if;
    v_status := case
        when v_job.cancel_requested_at is not null then 'cancelled'
        when v_unit.retry_count + 1 >= v_unit.max_retries then 'failed'
        else 'pending' end;
    update ingestion_work_units
    set status = v_status, retry_count = retry_count + 1, worker_id = null, worker_hostname = null,
        claimed_at = null, heartbeat_at = null, lease_until = null,
        completed_at = case when v_status = 'pending' then null else now() end,
        error_code = case when v_status = 'failed' then 'WORKER_LOST' else error_code end,
        error_message = case when v_status = 'failed'
            then 'its workers died or hung on every attempt' else error_message end
    where id = p_unit_id;
    if v_status = 'failed' then
        update jobs set units_failed = units_failed + 1 where id = v_job.id;
    end if;
    return true;
end $$;

-- Takes back the units of workers that have not been heard of for timeout_seconds.
create function reclaim_stale_work_units(timeout_seconds integer default 120) returns integer language plpgsql as $$
declare
    v_unit record;
    v_count integer := 0;
begin
    for v_unit in
        select id, epoch from ingestion_work_units
        where status in ('claimed', 'processing')
          and heartbeat_at < now() - make_interval(secs => timeout_seconds)
        order by job_id, id
    loop
        if reclaim_work_unit(v_unit.id, v_unit.epoch, timeout_seconds) then
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end $$;

-- Takes back the units of one worker that is known to be dead.
create function reclaim_work_units_of(p_worker_id text) returns integer language plpgsql as $$
declare
    v_unit record;
    v_count integer := 0;
begin
    for v_unit in
        select id, epoch from ingestion_work_units
        where worker_id = p_worker_id and status in ('claimed', 'processing') order by job_id, id
    loop
        if reclaim_work_unit(v_unit.id, v_unit.epoch) then
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end $$;
