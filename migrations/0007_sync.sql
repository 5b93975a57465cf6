-- Syncs from NCBI: which queries, how far, what is to be tried again.

-- One row per query_key, bound to its query for ever. Everything dated before a watermark has an
-- outcome. `resume` is where a run with a limit stopped: {"end", "full"|"day", "field", "after"}.
create table sync_queries (
    query_key              text primary key,
    query                  text not null,
    entry_watermark        timestamptz,
    modification_watermark timestamptz,
    resume                 jsonb,
    last_job_id            uuid,
    last_run_at            timestamptz,
    created_at             timestamptz not null default now()
);

-- Every move of a watermark: by a run, or by hand.
create table sync_watermark_moves (
    id        bigint generated always as identity primary key,
    query_key text not null references sync_queries on delete cascade,
    field     text not null check (field in ('entry', 'modification')),
    job_id    uuid,
    old       timestamptz,
    new       timestamptz not null,
    moved_by  text not null,
    moved_at  timestamptz not null default now()
);
create index sync_watermark_moves_key on sync_watermark_moves (query_key, id);

-- Records that a run could not archive: tried first by every later run of their query.
create table sync_retry (
    query_key       text not null,
    pmid            text not null,
    reason          text not null,
    attempts        integer not null default 1,
    first_failed_at timestamptz not null default now(),
    last_failed_at  timestamptz not null default now(),
    primary key (query_key, pmid)
);

-- What a run is about to do, fixed when it is planned; goes with its job.
create table sync_runs (
    job_id     uuid primary key references jobs on delete cascade,
    query_key  text not null,
    plan       jsonb not null,
    -- Where the search stopped because of a limit; set when it ended.
    stopped_at jsonb,
    -- Where the run stops because of a limit; set when the fetching was planned.
    stop       jsonb
);

-- PMIDs a search found, in the order of their slices; goes when the fetching is planned.
create table sync_found (
    job_id uuid not null references jobs on delete cascade,
    pmid   integer not null,
    walk   smallint not null,
    day    date,
    field  smallint not null,
    primary key (job_id, pmid)
);

-- Queries that `bio-mcp up` syncs by itself.
create table sync_topics (
    query_key    text primary key references sync_queries on delete cascade,
    every_secs   integer not null check (every_secs >= 60),
    priority     smallint not null default 0 check (priority between 0 and 10),
    last_slot_at timestamptz,
    created_at   timestamptz not null default now()
);

-- Records an operator took out, and why.
create table purges (
    id               bigint generated always as identity primary key,
    pmid             text not null,
    reason           text not null,
    principal        text not null,
    versions_deleted integer not null default 0,
    purged_at        timestamptz not null default now()
);
create index purges_pmid on purges (pmid);
