-- Failed runs of queries, and stored instants in the future.

-- failed_runs counts the runs that failed since the last success; the last failure stays readable after a success.
alter table sync_queries
    add column failed_runs     integer not null default 0,
    add column failed_at       timestamptz,
    add column failure_code    text,
    add column failure_message text,
    add column last_success_at timestamptz;
update sync_queries set last_success_at = last_run_at where entry_watermark is not null;

-- When a topic whose run failed is tried again: after five minutes, then ten, and so on, at most its interval; null
-- when its last run did not fail.
create function topic_retry_at(p_failed_at timestamptz, p_failed_runs integer, p_every_secs integer)
returns timestamptz language sql immutable as $$
    select case when p_failed_runs > 0 then
        p_failed_at + make_interval(secs => least(p_every_secs, 300 * power(2, least(p_failed_runs - 1, 20)))) end
$$;

-- Quarantined records of a PMID leave the list when it is archived later.
create index quarantine_pmid on quarantine (pmid) where pmid is not null;

create index sync_retry_first on sync_retry (first_failed_at);
create index sync_retry_last on sync_retry (last_failed_at);

-- Instants that were found in the future and pulled back. A clock that jumped ahead wrote them; nothing that waits for
-- one of them would happen before. set_to is null where nothing earlier is known.
create table clock_corrections (
    id       bigint generated always as identity primary key,
    what     text not null,
    name     text not null,
    was      timestamptz not null,
    set_to   timestamptz,
    found_at timestamptz not null default clock_timestamp()
);

-- The last watermark of a field that is not in the future. Where one is, it is not known until when the query
-- was really walked, so the one before is taken; none means that the whole query is walked again.
create function last_good_watermark(p_query_key text, p_field text, p_latest timestamptz)
returns timestamptz language sql stable as $$
    select new from sync_watermark_moves
    where query_key = p_query_key and field = p_field and new <= p_latest
    order by id desc limit 1
$$;

-- Watermarks, places to resume at, slots of topics and the list of records to try again.
create function pull_back_syncs() returns setof clock_corrections language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_latest timestamptz := v_now + interval '1 minute';
begin
    return query
    with ahead as materialized (
        select query_key, entry_watermark, modification_watermark, creation_watermark,
               (resume ->> 'end')::timestamptz as resume_end
        from sync_queries
        where entry_watermark > v_latest or modification_watermark > v_latest or creation_watermark > v_latest
           or (resume ->> 'end')::timestamptz > v_latest
        for update skip locked
    ),
    good as materialized (
        select query_key, resume_end, entry_watermark as entry_was, modification_watermark as modification_was,
               creation_watermark as creation_was,
               case when entry_watermark > v_latest
                    then last_good_watermark(query_key, 'entry', v_latest) else entry_watermark end as entry,
               case when modification_watermark > v_latest
                    then last_good_watermark(query_key, 'modification', v_latest)
                    else modification_watermark end as modification,
               case when creation_watermark > v_latest
                    then last_good_watermark(query_key, 'creation', v_latest)
                    else creation_watermark end as creation
        from ahead
    ),
    moved as (
        update sync_queries q
        set entry_watermark = g.entry, modification_watermark = g.modification, creation_watermark = g.creation,
            resume = null
        from good g
        where q.query_key = g.query_key
    ),
    noted as (
        insert into sync_watermark_moves (query_key, field, old, new, moved_by)
        select query_key, 'entry', entry_was, entry, 'clock' from good where entry < entry_was
        union all
        select query_key, 'modification', modification_was, modification, 'clock' from good
        where modification < modification_was
        union all
        select query_key, 'creation', creation_was, creation, 'clock' from good where creation < creation_was
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'sync_queries.entry_watermark', query_key, entry_was, entry from good where entry is distinct from entry_was
    union all
    select 'sync_queries.modification_watermark', query_key, modification_was, modification from good
    where modification is distinct from modification_was
    union all
    select 'sync_queries.creation_watermark', query_key, creation_was, creation from good
    where creation is distinct from creation_was
    union all
    select 'sync_queries.resume', query_key, resume_end, null from good where resume_end > v_latest
    returning *;

    return query
    with ahead as materialized (
        select query_key, last_slot_at as was,
               to_timestamp((floor(extract(epoch from v_now) / every_secs) - 1) * every_secs) as set_to
        from sync_topics where last_slot_at > v_latest for update skip locked
    ),
    moved as (
        update sync_topics t set last_slot_at = a.set_to from ahead a where t.query_key = a.query_key
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'sync_topics.last_slot_at', query_key, was, set_to from ahead
    returning *;

    return query
    with ahead as materialized (
        select query_key, failed_at, last_run_at, last_success_at from sync_queries
        where failed_at > v_latest or last_run_at > v_latest or last_success_at > v_latest
        for update skip locked
    ),
    moved as (
        update sync_queries q
        set failed_at = least(q.failed_at, v_now), last_run_at = least(q.last_run_at, v_now),
            last_success_at = least(q.last_success_at, v_now)
        from ahead a where q.query_key = a.query_key
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'sync_queries.last_run_at', query_key, greatest(failed_at, last_run_at, last_success_at), v_now from ahead
    returning *;

    return query
    with ahead as materialized (
        select query_key, pmid, first_failed_at, last_failed_at from sync_retry
        where first_failed_at > v_latest or last_failed_at > v_latest
        for update skip locked
    ),
    moved as (
        update sync_retry r
        set first_failed_at = least(r.first_failed_at, v_now), last_failed_at = least(r.last_failed_at, v_now)
        from ahead a where r.query_key = a.query_key and r.pmid = a.pmid
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'sync_retry.first_failed_at', count(*) || ' records', max(greatest(first_failed_at, last_failed_at)), v_now
    from ahead having count(*) > 0
    returning *;

    delete from clock_corrections where id <= (select max(id) - 1000 from clock_corrections);
end $$;

-- Jobs and their units. A pause of a unit is at most five minutes; a job is kept for a week at most.
create function pull_back_jobs() returns setof clock_corrections language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_latest timestamptz := v_now + interval '1 minute';
begin
    return query
    with ahead as materialized (
        select id, greatest(created_at, started_at) as was from jobs
        where state in ('queued', 'running') and (created_at > v_latest or started_at > v_latest)
        for update skip locked
    ),
    moved as (
        update jobs j
        set deadline_at = j.deadline_at - (j.created_at - least(j.created_at, v_now)),
            created_at = least(j.created_at, v_now), started_at = least(j.started_at, v_now)
        from ahead a where j.id = a.id
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'jobs.created_at', count(*) || ' jobs', max(was), v_now from ahead having count(*) > 0
    returning *;

    return query
    with ahead as materialized (
        select id, expires_at as was from jobs
        where expires_at > v_latest + interval '168 hours' and state in ('succeeded', 'failed', 'cancelled')
        for update skip locked
    ),
    moved as (
        update jobs j
        set expires_at = v_now + make_interval(hours => j.ttl_hours), completed_at = least(j.completed_at, v_now)
        from ahead a where j.id = a.id
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'jobs.expires_at', count(*) || ' jobs', max(was), v_now from ahead having count(*) > 0
    returning *;

    return query
    with ahead as materialized (
        select id, heartbeat_at as was from ingestion_work_units
        where status in ('claimed', 'processing') and heartbeat_at > v_latest
        for update skip locked
    ),
    moved as (
        update ingestion_work_units u set heartbeat_at = v_now from ahead a where u.id = a.id
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'ingestion_work_units.heartbeat_at', count(*) || ' units', max(was), v_now from ahead having count(*) > 0
    returning *;

    return query
    with ahead as materialized (
        select id, greatest(case when not_before > v_latest + interval '5 minutes' then not_before end,
                            case when woken_at > v_latest then woken_at end) as was
        from ingestion_work_units
        where status = 'pending' and (not_before > v_latest + interval '5 minutes' or woken_at > v_latest)
        for update skip locked
    ),
    moved as (
        update ingestion_work_units u
        set not_before = case when u.not_before > v_latest + interval '5 minutes' then v_now else u.not_before end,
            woken_at = case when u.woken_at > v_latest then null else u.woken_at end
        from ahead a where u.id = a.id
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'ingestion_work_units.not_before', count(*) || ' units', max(was), v_now from ahead having count(*) > 0
    returning *;

    delete from clock_corrections where id <= (select max(id) - 1000 from clock_corrections);
end $$;

-- As before, and a row more than a minute ahead is pulled back: no turn is given and no hold lasts so long.
create or replace function take_turn(
    p_upstream text, p_gap_secs double precision, p_longest_wait_secs double precision
) returns table (wait_secs double precision, served_secs double precision) language plpgsql as $$
declare
    v_at timestamptz;
    v_was timestamptz;
begin
    loop
        insert into upstream_pace as p (upstream, next_at)
        values (p_upstream, clock_timestamp() + make_interval(secs => p_gap_secs))
        on conflict (upstream) do update
        set next_at = greatest(p.next_at, clock_timestamp()) + make_interval(secs => p_gap_secs)
        where p.next_at <= clock_timestamp() + make_interval(secs => least(p_longest_wait_secs, 60))
        returning next_at - make_interval(secs => p_gap_secs) into v_at;
        exit when v_at is not null;
        select next_at into v_was from upstream_pace
        where upstream = p_upstream
          and next_at > clock_timestamp() + interval '1 minute' + make_interval(secs => p_gap_secs)
        for update;
        exit when not found;
        update upstream_pace set next_at = clock_timestamp() where upstream = p_upstream;
        insert into clock_corrections (what, name, was, set_to)
        values ('upstream_pace.next_at', p_upstream, v_was, clock_timestamp());
        raise warning 'the next request to % was put off until %, in the future by a wrong clock',
            p_upstream, v_was;
    end loop;
    return query select
        extract(epoch from greatest(v_at - clock_timestamp(), interval '0'))::double precision,
        extract(epoch from clock_timestamp() - statement_timestamp())::double precision
    where v_at is not null;
end $$;
