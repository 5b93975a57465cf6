-- Wake-ups by a queue: a unit's row says when somebody was last woken for it, so that rows are the outbox and a
-- lost message is sent again. Where workers listen to the database, nobody writes it.
alter table ingestion_work_units add column woken_at timestamptz;
create index ingestion_work_units_woken on ingestion_work_units (job_id, woken_at)
    where status = 'pending' and woken_at is not null;

-- Who was woken has claimed it: when it comes back, somebody is to be woken anew.
create function work_units_unwoken() returns trigger language plpgsql as $$
begin
    new.woken_at := null;
    return new;
end $$;
create trigger work_units_unwoken before update of status on ingestion_work_units
    for each row when (new.status = 'pending' and old.status <> 'pending' and new.woken_at is not null)
    execute function work_units_unwoken();
