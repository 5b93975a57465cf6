-- Where each j stands: how many queued jobs are claimed before it, and the seconds until it has ended, as far as can
-- be told: a running one by its own speed, a queued one by the median of the last twenty of its tool. Of a chain, the
-- job of the step before.
cross join lateral (
    select case when j.state = 'queued' then (
               select count(*) from jobs as other
               where other.state = 'queued'
                 and (other.priority > j.priority or (other.priority = j.priority and other.created_at < j.created_at))
           ) else 0 end as position_in_queue,
           case j.state
               when 'queued' then (
                   select percentile_cont(0.5) within group (order by extract(epoch from last.completed_at - last.started_at))
                   from (
                       select completed_at, started_at from jobs as other
                       where other.tool = j.tool and other.state = 'succeeded' and other.started_at is not null
                       order by other.created_at desc
                       limit 20
                   ) as last
               )
               when 'running' then (
                   select extract(epoch from now() - j.started_at)::double precision * (1 - fraction) / fraction
                   from (select (j.progress ->> 'fraction')::double precision as fraction) as done
                   where fraction > 0.01
               )
               else 0
           end as estimated_duration_secs,
           (
               select other.id from jobs as other
               where other.chain_id = j.chain_id and other.chain_step = j.chain_step - 1 and other.state = 'succeeded'
           ) as previous_job_id
) as details
