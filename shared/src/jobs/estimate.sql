-- jobs.estimate: the median of the last twenty
select percentile_cont(0.5) within group (order by extract(epoch from completed_at - started_at))
from (select completed_at, started_at
      from jobs
      where tool = $1 and state = 'succeeded' and started_at is not null
      order by created_at desc
      limit 20) last
