-- Jobs: what a user asked for, and what became of it.
--
-- state: queued (nothing claimed yet) -> running (a unit was started) -> succeeded | failed | cancelled.
-- A terminal state never changes. `version` counts every change of the row: it is the ETag.
create table jobs (
    id                  uuid primary key,
    tool                text not null,
    params              jsonb not null,
    params_hash         text not null,
    idempotency_key     text,
    principal           text not null,
    state               text not null default 'queued'
                        check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    priority            smallint not null default 0 check (priority between 0 and 10),
    parent_job_id       uuid,
    query_key           text,
    progress            jsonb not null default '{}',
    result              jsonb,
    result_ref          text,
    error               jsonb,
    trace_id            text not null,
    units_total         integer not null default 0,
    units_done          integer not null default 0,
    units_failed        integer not null default 0,
    version             bigint not null default 1,
    attempt             integer not null default 1,
    ttl_hours           smallint not null default 24 check (ttl_hours between 1 and 168),
    cancel_requested_at timestamptz,
    deadline_at         timestamptz not null,
    created_at          timestamptz not null default now(),
    started_at          timestamptz,
    completed_at        timestamptz,
    expires_at          timestamptz,
    updated_at          timestamptz not null default now()
);

create unique index jobs_idempotency on jobs (principal, tool, idempotency_key)
    where idempotency_key is not null;
create unique index jobs_same_params on jobs (principal, tool, params_hash)
    where idempotency_key is null and state in ('queued', 'running');
create unique index jobs_one_sync_per_key on jobs (query_key)
    where tool = 'pubmed.sync.incremental' and state in ('queued', 'running');
create index jobs_unfinished on jobs (created_at) where state in ('queued', 'running');
create index jobs_newest on jobs (created_at desc, id desc);
create index jobs_expiry on jobs (expires_at) where expires_at is not null;

create function jobs_touch() returns trigger language plpgsql as $$
begin
    if old.state in ('succeeded', 'failed', 'cancelled') and new.state is distinct from old.state then
        raise exception 'job % is % already', old.id, old.state using errcode = 'check_violation';
    end if;
    new.version := old.version + 1;
    new.updated_at := now();
    return new;
end $$;
create trigger jobs_touch before update on jobs for each row execute function jobs_touch();

-- Watchers listen on bio_mcp_jobs.
create function jobs_notify() returns trigger language plpgsql as $$
begin
    perform pg_notify('bio_mcp_jobs', new.id::text);
    return null;
end $$;
create trigger jobs_notify after insert or update on jobs for each row execute function jobs_notify();
