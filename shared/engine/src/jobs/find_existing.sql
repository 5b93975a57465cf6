-- jobs.find_existing: the job that a refused insert collided with, by what it was found,
-- and whether it is what was asked for:
-- the one of the key, else the one of the same step, else the one of the same parameters, else the one of the same
-- exclusive key
select found_by, is_same, id
from (
    select case when principal = $1 and tool = $2 and idempotency_key = $3 then 'key'
                when chain_id = $6 and chain_step = $7 and state not in ('failed', 'cancelled') then 'step'
                when $3::text is null and principal = $1 and tool = $2 and idempotency_key is null
                     and params_hash = $4 and chain_hash = $8 then 'params'
                else 'exclusive' end as found_by,
           params_hash = $4 and chain_hash = $8 as is_same, id
    from jobs
    where principal = $1 and tool = $2 and idempotency_key = $3
       or chain_id = $6 and chain_step = $7 and state not in ('failed', 'cancelled')
       or $3::text is null and principal = $1 and tool = $2 and idempotency_key is null and params_hash = $4
          and chain_hash = $8 and state in ('queued', 'running')
       or exclusive_key = $5 and state in ('queued', 'running')
) as found
order by array_position(array['key', 'step', 'params', 'exclusive'], found_by), is_same desc
limit 1
