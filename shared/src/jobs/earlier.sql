-- jobs.earlier: the job that a refused insert collided with
select params_hash, id
from jobs
where principal = $1 and tool = $2
  and case
      when $3::text is not null then idempotency_key = $3
      else idempotency_key is null and params_hash = $4 and state in ('queued', 'running')
      end
