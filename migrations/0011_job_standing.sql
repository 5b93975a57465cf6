-- Where a job stands, in the statement that reads or makes it.

-- The last jobs of a tool that succeeded, however many wait.
create index jobs_succeeded on jobs (tool, created_at desc) where state = 'succeeded' and started_at is not null;

-- How many queued jobs are claimed before this one.
create function job_position(job jobs) returns bigint language sql stable parallel safe as $$
    select case when job.state = 'queued' then (
        select count(*) from jobs as other
        where other.state = 'queued' and other.id <> job.id
          and (other.priority > job.priority or (other.priority = job.priority and other.created_at < job.created_at))
    ) else 0 end
$$;

-- Seconds until it has ended, as far as can be told: a running one by its own pace, a queued one by the median of
-- the last twenty of its tool. Null without anything to go by.
create function job_estimate(job jobs) returns double precision language sql stable parallel safe as $$
    select case job.state
        when 'queued' then (
            select percentile_cont(0.5) within group (order by extract(epoch from last.completed_at - last.started_at))
            from (
                select completed_at, started_at from jobs as other
                where other.tool = job.tool and other.state = 'succeeded' and other.started_at is not null
                order by other.created_at desc
                limit 20
            ) as last
        )
        when 'running' then (
            select extract(epoch from now() - job.started_at)::double precision * (1 - fraction) / fraction
            from (select (job.progress ->> 'fraction')::double precision as fraction) as done
            where fraction > 0.01
        )
        else 0
    end
$$;

-- Who watches a job knows it already: nobody is told of new ones.
drop trigger jobs_notify on jobs;
create trigger jobs_notify after update on jobs for each row execute function jobs_notify();
