-- Fairness between jobs, and limits that hold exactly.
--
-- Among jobs of one priority the one with the fewest running units is served first, then the oldest:
-- a large job never starves a small one. Claims take turns under one lock, so that two workers
-- cannot both take the last place; a claim is one short statement.
create index ingestion_work_units_running on ingestion_work_units (job_id) where status in ('claimed', 'processing');
create index ingestion_work_units_waiting on ingestion_work_units (job_id, not_before) where status = 'pending';

drop function claim_work_unit(text, text, text[], integer, uuid, integer, integer);

-- p_job_units: running units per job. p_tool_limits: running jobs per tool, e.g. {"pubmed.sync": 8};
-- a queued job of a tool at its limit waits.
create function claim_work_unit(
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
        -- More than are wanted: the units of the first may just be locked by somebody.
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
        )
        update ingestion_work_units u
        set status = 'claimed', epoch = u.epoch + 1, worker_id = p_worker_id, worker_hostname = p_hostname,
            claimed_at = now(), heartbeat_at = now(), lease_until = now() + make_interval(secs => p_lease_secs)
        from candidate c
        where u.id = c.id
        returning u.*;
        get diagnostics v_now = row_count;
        v_claimed := v_claimed + v_now;
        exit when v_claimed >= p_n;
    end loop;
end $$;

-- What did not end well in a job, record by record; what `jobs retry` and the result read.
create table ingestion_failures (
    id      bigint generated always as identity primary key,
    job_id  uuid not null references jobs on delete cascade,
    unit_id uuid not null,
    pmid    text,
    outcome text not null check (outcome in ('failed', 'missing')),
    reason  text,
    uri     text
);
create index ingestion_failures_job on ingestion_failures (job_id, id);

-- Where a quarantined record stood in the order of payloads, to archive it later as if it had been.
alter table quarantine add column as_of timestamptz;
alter table quarantine add column file_number integer not null default 0;
alter table quarantine add column position bigint not null default 0;
alter table quarantine add column api text not null default 'bulk_file';
