-- A search finds PMIDs by the ten thousand: asking for each whether its job exists took longer than
-- keeping it. What a job found still goes with the job.
alter table sync_found drop constraint sync_found_job_id_fkey;
create function forget_found() returns trigger language plpgsql as $$
begin
    delete from sync_found where job_id = old.id;
    return null;
end $$;
create trigger jobs_forget_found after delete on jobs for each row execute function forget_found();
