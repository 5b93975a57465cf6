-- ingest.lock_waiting_step: such a job, locked, and whether its next step has waited for as long as it may; a time in the
-- future is that of a wrong clock. Another sweep that has it submits the step.
select j.*,
       now() not between j.completed_at - interval '1 minute' and j.completed_at + make_interval(secs => $2) as is_overdue
from jobs as j
where j.id = $1 and j.state = 'succeeded' and j.chain is not null and j.next_job_id is null and not j.then_cancelled
for update skip locked
