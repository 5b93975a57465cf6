-- jobs.submit: the job, the unit that plans it, and where it stands, unless there are too many or the like of it
-- is there already
with unfinished as (
    select count(*) as jobs, count(*) filter (where principal = $6) as own,
           count(*) filter (where state = 'queued' and priority >= $7) as before
    from (select state, priority, principal from jobs where state in ('queued', 'running') limit $13) as few
),
job as (
    insert into jobs (id, tool, params, params_hash, idempotency_key, principal, priority, ttl_hours, trace_id,
                      parent_job_id, deadline_at, query_key, units_total, attempt, daily_records, exclusive_key,
                      chain, chain_id, chain_step, chain_hash)
    select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12, 1,
           coalesce((select parent.attempt + 1 from jobs parent where parent.id = $10), 1), $18, $20, $21, $22, $23, $24
    from unfinished
    where unfinished.jobs < $13 and unfinished.own < $17
      and ($18::bigint is null or $19 <= $18 - coalesce((select records from principal_records
                                                          where principal = $6 and day = (now() at time zone 'UTC')::date), 0))
    on conflict do nothing
    returning *
),
unit as (
    insert into ingestion_work_units (id, job_id, phase, seq, input, priority, required_hostname)
    select $14, id, $15, 0, '{}', $7, $16 from job
)
select j.*, unfinished.before as position_in_queue, details.estimated_duration_secs, details.previous_job_id
from job as j cross join unfinished
