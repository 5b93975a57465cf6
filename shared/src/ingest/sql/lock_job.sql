-- ingest.lock_job: first in every transaction of a unit
select cancel_requested_at is not null as cancelled, deadline_at < now() as overdue,
       state in ('succeeded', 'failed', 'cancelled') as terminal, progress
from jobs
where id = $1
for update
