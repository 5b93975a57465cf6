-- jobs.earlier: the job that a refused insert collided with, and whether it is what was asked for:
-- the one of the key, else the one of the same parameters, else the one of the same exclusive key
select case when principal = $1 and tool = $2 and idempotency_key = $3 then params_hash = $4 else true end, id
from jobs
where principal = $1 and tool = $2 and idempotency_key = $3
   or $3::text is null and principal = $1 and tool = $2 and idempotency_key is null and params_hash = $4
      and state in ('queued', 'running')
   or exclusive_key = $5 and state in ('queued', 'running')
order by (idempotency_key is not distinct from $3 and principal = $1 and $3::text is not null) desc,
         (params_hash = $4) desc
limit 1
