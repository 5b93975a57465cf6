-- ingest.lock_job: first in every transaction of a unit
select cancel_requested_at is not null as cancelled, deadline_at < now() as overdue,
       state in ('succeeded', 'failed', 'cancelled') as terminal, progress,
       daily_records is not null and daily_records <= coalesce(
           (select records from principal_records r
            where r.principal = jobs.principal and r.day = (now() at time zone 'UTC')::date), 0) as used_up
from jobs
where id = $1
for update
