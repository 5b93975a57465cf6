-- The engine knows no source: records are keyed by type and identifier, a job says itself what it excludes, and every
-- attempt at a unit keeps how it ended.

-- On a large archive this takes longer than any other statement may.
set local statement_timeout = 0;
set local lock_timeout = 0;

-- While a job with this key is queued or running there is no second one; the submission fills it. query_key is the key
-- of what a job works for, by which it is found.
alter table jobs add column exclusive_key text;
update jobs set exclusive_key = query_key, query_key = coalesce(query_key, params ->> 'query_key')
where query_key is not null or params ? 'query_key';
drop index jobs_one_sync_per_key;
create unique index jobs_exclusive on jobs (exclusive_key) where state in ('queued', 'running');

-- Whether the version of an ingest may exist once: files may come again, releases may not.
alter table ingestion_jobs add column is_release boolean not null default false;
drop index ingestion_jobs_release;
create unique index ingestion_jobs_release on ingestion_jobs (organization_id, job_type, external_version)
    where status not in ('failed', 'cancelled') and is_release and is_whole;

-- What people call a unit, such as the name of its file. Its input is read by its pipeline alone.
alter table ingestion_work_units add column label text;
update ingestion_work_units set label = input ->> 'name' where input ? 'name';

-- Records of any source. pmid, and of quarantine api, as_of, file_number and position, are of programs from before this
-- schema, which may still run: what those write is carried over as it comes. source_metadata is what a source wrote for
-- itself.
alter table ingestion_failures add column record_type text, add column record_id text;
update ingestion_failures set record_type = 'pubmed', record_id = pmid;
alter table ingestion_failures alter column record_type set not null;
create function failures_keyed() returns trigger language plpgsql as $$
begin
    new.record_type := 'pubmed';
    new.record_id := new.pmid;
    return new;
end $$;
create trigger failures_keyed before insert on ingestion_failures
    for each row when (new.record_type is null) execute function failures_keyed();

alter table quarantine
    add column record_type text,
    add column record_id text,
    add column source_metadata jsonb not null default '{}';
update quarantine
set record_type = 'pubmed', record_id = pmid,
    source_metadata = jsonb_build_object('api', api, 'as_of', as_of, 'file_number', file_number, 'position', position);
alter table quarantine alter column record_type set not null;
create function quarantine_keyed() returns trigger language plpgsql as $$
begin
    new.record_type := 'pubmed';
    new.record_id := new.pmid;
    new.source_metadata := jsonb_build_object(
        'api', new.api, 'as_of', new.as_of, 'file_number', new.file_number, 'position', new.position);
    return new;
end $$;
create trigger quarantine_keyed before insert on quarantine
    for each row when (new.record_type is null) execute function quarantine_keyed();
drop index quarantine_pmid;
create index quarantine_record on quarantine (record_type, record_id) where record_id is not null;

-- Each claim of a unit, and how it ended: completed, failed, cancelled, released (the worker stopped), snoozed (what it
-- needs was not there) or reclaimed (the worker was silent for too long). Goes with its job.
create table ingestion_unit_attempts (
    unit_id         uuid not null references ingestion_work_units on delete cascade,
    epoch           bigint not null,
    -- Those before it that ended without progress, and this one.
    attempt         integer not null,
    worker_id       text not null,
    worker_hostname text not null,
    claimed_at      timestamptz not null,
    started_at      timestamptz,
    ended_at        timestamptz,
    ended_as        text check (ended_as in ('completed', 'failed', 'cancelled', 'released', 'snoozed', 'reclaimed')),
    error_code      text,
    error_message   text,
    primary key (unit_id, epoch),
    check ((ended_at is null) = (ended_as is null))
);

-- The first slice of each unit of an incremental sync that has not completed; goes with its job. What a program from
-- before this schema planned has none: its watermarks move when its job ends.
create table sync_open_slices (
    job_id   uuid not null references jobs on delete cascade,
    unit_seq integer not null,
    walk     smallint not null,
    day      date,
    last_day date,
    field    smallint not null,
    primary key (job_id, unit_seq)
);

-- As before, and each claim is an attempt.
create or replace function claim_work_unit(
    p_worker_id text, p_hostname text, p_tools text[], p_n integer, p_unit_id uuid default null,
    p_job_units integer default 8, p_lease_secs integer default 120, p_tool_limits jsonb default '{}',
    p_job_id uuid default null
) returns setof ingestion_work_units language plpgsql as $$
declare
    v_job record;
    v_claimed integer := 0;
    v_now integer;
begin
    perform pg_advisory_xact_lock(hashtextextended('bio-mcp claim', 0));
    for v_job in
        with active as materialized (
            select o.tool, count(*) as jobs
            from jobs o
            where o.state = 'running'
               or o.state = 'queued' and exists (
                   select from ingestion_work_units c
                   where c.job_id = o.id and c.status in ('claimed', 'processing'))
            group by o.tool
        )
        select j.id, p_job_units - running.units as places
        from jobs j
        left join active a on a.tool = j.tool
        cross join lateral (
            select count(*)::integer as units from ingestion_work_units r
            where r.job_id = j.id and r.status in ('claimed', 'processing')
        ) running
        where j.tool = any (p_tools)
          and j.state in ('queued', 'running')
          and j.cancel_requested_at is null
          and (p_job_id is null or j.id = p_job_id)
          and running.units < p_job_units
          and exists (
              select from ingestion_work_units u
              where u.job_id = j.id and u.status = 'pending' and u.not_before <= now()
                and (u.required_hostname is null or u.required_hostname = p_hostname)
                and (p_unit_id is null or u.id = p_unit_id))
          and (j.state = 'running' or running.units > 0 or p_tool_limits -> j.tool is null
               or coalesce(a.jobs, 0) < (p_tool_limits ->> j.tool)::integer)
        order by j.priority desc, running.units, j.created_at, j.id
        -- More than are wanted: the units of the first may just be locked by another worker.
        limit p_n + 4
    loop
        return query
        with candidate as materialized (
            select u.id
            from ingestion_work_units u
            where u.job_id = v_job.id and u.status = 'pending' and u.not_before <= now()
              and (u.required_hostname is null or u.required_hostname = p_hostname)
              and (p_unit_id is null or u.id = p_unit_id)
            order by u.priority desc, u.not_before, u.id
            limit least(v_job.places, p_n - v_claimed)
            for update of u skip locked
        ),
        claimed as (
            update ingestion_work_units u
            set status = 'claimed', epoch = u.epoch + 1, worker_id = p_worker_id, worker_hostname = p_hostname,
                claimed_at = now(), heartbeat_at = now(), lease_until = now() + make_interval(secs => p_lease_secs)
            from candidate c
            where u.id = c.id
            returning u.*
        ),
        attempts as (
            insert into ingestion_unit_attempts (unit_id, epoch, attempt, worker_id, worker_hostname, claimed_at)
            select c.id, c.epoch, c.retry_count + 1, c.worker_id, c.worker_hostname, c.claimed_at from claimed c
        )
        select * from claimed;
        get diagnostics v_now = row_count;
        v_claimed := v_claimed + v_now;
        exit when v_claimed >= p_n;
    end loop;
end $$;

-- As before, and the attempt and the log of the job say so.
create or replace function reclaim_work_unit(p_unit_id uuid, p_epoch bigint, p_silent_secs integer default null)
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
    update ingestion_unit_attempts
    set ended_at = now(), ended_as = 'reclaimed', error_code = 'WORKER_LOST', error_message = 'its worker died or hung'
    where unit_id = p_unit_id and epoch = p_epoch;
    insert into ingestion_job_logs (job_id, level, message, fields)
    values (v_job.id, case when v_status = 'failed' then 'error' else 'warn' end,
            'the worker of a unit died or hung: the unit is taken back',
            jsonb_build_object('unit_id', p_unit_id, 'error_code', 'WORKER_LOST', 'attempt', v_unit.retry_count + 1,
                               'final', v_status = 'failed'));
    return true;
end $$;
