-- ingest.dispatch: marks units that a worker could claim now and that none was woken for lately, of each job no
-- more than may run, of each tool no more queued jobs than may start
with standing as materialized (
    select j.id, j.tool, j.state, j.priority, j.created_at, j.trace_id,
           (select count(*) from ingestion_work_units r
            where r.job_id = j.id and r.status in ('claimed', 'processing')) as running,
           (select count(*) from ingestion_work_units w
            where w.job_id = j.id and w.status = 'pending' and w.woken_at > now() - make_interval(secs => $2)) as woken
    from jobs j
    where j.state in ('queued', 'running') and j.cancel_requested_at is null and j.tool = any ($4)
),
turn as (
    select s.*, row_number() over (
               partition by tool order by state = 'queued' and running = 0, priority desc, created_at, id
           ) as place
    from standing s
),
unit as materialized (
    select u.id, turn.trace_id
    from turn
    cross join lateral (
        select w.id from ingestion_work_units w
        where w.job_id = turn.id and w.status = 'pending' and w.not_before <= now() and w.required_hostname is null
          and (w.woken_at is null or w.woken_at <= now() - make_interval(secs => $2))
        limit greatest($1 - turn.running - turn.woken, 0)
        for update skip locked
    ) u
    where turn.place <= coalesce(($3::jsonb ->> turn.tool)::bigint, turn.place)
    order by turn.priority desc, turn.created_at
    limit $5
)
update ingestion_work_units w
set woken_at = now()
from unit
where w.id = unit.id
returning w.job_id, w.id as unit_id, unit.trace_id
