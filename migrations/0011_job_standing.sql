-- Submitting and reading a job in one statement.

-- On a large archive this takes longer than any other statement may.
set local statement_timeout = 0;
set local lock_timeout = 0;

-- The last jobs of a tool that succeeded, however many wait.
create index jobs_succeeded on jobs (tool, created_at desc) where state = 'succeeded' and started_at is not null;

-- Who watches a job knows it already: nobody is told of new ones.
drop trigger jobs_notify on jobs;
create trigger jobs_notify after update on jobs for each row execute function jobs_notify();

-- Nor are workers told by the commit of a new unit, which would keep all others that notify from committing
-- meanwhile: who commits it tells them afterwards.
drop trigger work_units_notify_new on ingestion_work_units;
