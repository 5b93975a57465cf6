-- jobs.active_jobs: per tool, what waits and what runs
select tool,
       count(*) filter (where state = 'running') as running,
       coalesce(avg((progress ->> 'fraction')::double precision) filter (where state = 'running'), 0) as fraction,
       coalesce(extract(epoch from clock_timestamp() - min(created_at) filter (where state = 'queued')), 0)::double precision as oldest_secs
from jobs
where state in ('queued', 'running')
group by tool
