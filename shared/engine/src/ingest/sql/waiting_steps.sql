-- ingest.waiting_steps: jobs that have succeeded and whose next step is still to be submitted
select id
from jobs
where state = 'succeeded' and chain is not null and next_job_id is null and not then_cancelled
order by completed_at
limit 1000
