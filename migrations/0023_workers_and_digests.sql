-- Workers with and without a unit, and what an ingest was made of. Reads and rewrites no row that is there.

-- Workers that run until they are told to stop, or until their job has ended: each has a row while it runs, renewed while
-- it waits and while it works, so that it is seen from every machine. The row of one that was killed stays for a day, and
-- counts for nothing once it is as old as the heartbeat of a unit that is taken back (BIO_MCP_STALE_SECS). Workers of
-- functions have none: they are there only while they have a unit.
create table ingestion_workers (
    worker_id  text primary key,
    hostname   text not null,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);

-- Workers that were seen in the future: one that died while the clock was ahead would be taken for living for ever.
create function pull_back_workers() returns setof clock_corrections language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
begin
    return query
    with ahead as materialized (
        select worker_id, seen_at as was from ingestion_workers
        where seen_at > v_now + interval '1 minute'
        for update skip locked
    ),
    moved as (
        update ingestion_workers w set seen_at = v_now from ahead a where w.worker_id = a.worker_id
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'ingestion_workers.seen_at', count(*) || ' workers', max(was), v_now from ahead having count(*) > 0
    returning *;

    delete from clock_corrections where id <= (select max(id) - 1000 from clock_corrections);
end $$;

-- Identifies the content that an ingest was made of, where it is known when the ingest is planned; null where it is not.
-- Of a release it says whether the same version came with the same content: with other content it is a new run, and the
-- ingest that had ended before is no longer the one of its version (is_release is false from then on).
alter table ingestion_jobs add column source_digest text;
