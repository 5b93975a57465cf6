-- Counts of the archive that are asked for again and again are kept, not counted: a count of rows grows with the archive.

-- On a large archive this takes longer than any other statement may.
set local statement_timeout = 0;
set local lock_timeout = 0;

-- Live records and those of each query: corpus_digests.
create table archive_counts (
    only_row boolean primary key default true check (only_row),
    deleted  bigint not null,  -- pointers of deleted records
    payloads bigint not null,  -- distinct payloads: rows of pubmed_archive_history
    events   bigint not null   -- accepted changes: rows of archive_events
);

-- Pointers and history change under the lock of the event counter, so that two transactions never wait for each other.
create function archive_counts_add(more_deleted bigint, more_payloads bigint, more_events bigint) returns void
language plpgsql as $$
begin
    if more_deleted = 0 and more_payloads = 0 and more_events = 0 then
        return;
    end if;
    perform from archive_event_counter for update;
    update archive_counts
    set deleted = deleted + more_deleted, payloads = payloads + more_payloads, events = events + more_events;
end
$$;

create function archive_counts_pointers() returns trigger language plpgsql as $$
declare
    added bigint := 0;
    gone bigint := 0;
begin
    if tg_op in ('INSERT', 'UPDATE') then
        select count(*) into added from after where deleted_at is not null;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        select count(*) into gone from before where deleted_at is not null;
    end if;
    perform archive_counts_add(added - gone, 0, 0);
    return null;
end
$$;

create trigger archive_counts_inserted after insert on pubmed_archive
    referencing new table as after for each statement execute function archive_counts_pointers();
create trigger archive_counts_updated after update on pubmed_archive
    referencing old table as before new table as after for each statement execute function archive_counts_pointers();
create trigger archive_counts_deleted after delete on pubmed_archive
    referencing old table as before for each statement execute function archive_counts_pointers();

create function archive_counts_payloads() returns trigger language plpgsql as $$
declare
    changed bigint;
begin
    if tg_op = 'INSERT' then
        select count(*) into changed from after;
        perform archive_counts_add(0, changed, 0);
    else
        select count(*) into changed from before;
        perform archive_counts_add(0, -changed, 0);
    end if;
    return null;
end
$$;

create trigger archive_counts_payloads_inserted after insert on pubmed_archive_history
    referencing new table as after for each statement execute function archive_counts_payloads();
create trigger archive_counts_payloads_deleted after delete on pubmed_archive_history
    referencing old table as before for each statement execute function archive_counts_payloads();

create function archive_counts_events() returns trigger language plpgsql as $$
declare
    changed bigint;
begin
    select count(*) into changed from after;
    perform archive_counts_add(0, 0, changed);
    return null;
end
$$;

create trigger archive_counts_events_inserted after insert on archive_events
    referencing new table as after for each statement execute function archive_counts_events();

create function archive_counts_emptied() returns trigger language plpgsql as $$
begin
    update archive_counts
    set deleted = case when tg_table_name = 'pubmed_archive' then 0 else deleted end,
        payloads = case when tg_table_name = 'pubmed_archive_history' then 0 else payloads end,
        events = case when tg_table_name = 'archive_events' then 0 else events end;
    return null;
end
$$;
create trigger archive_counts_emptied after truncate on pubmed_archive
    for each statement execute function archive_counts_emptied();
create trigger archive_counts_payloads_emptied after truncate on pubmed_archive_history
    for each statement execute function archive_counts_emptied();
create trigger archive_counts_events_emptied after truncate on archive_events
    for each statement execute function archive_counts_emptied();

-- The counts as they should be.
create view archive_counted as
    select (select count(*) from pubmed_archive where deleted_at is not null) as deleted,
           (select count(*) from pubmed_archive_history) as payloads,
           (select count(*) from archive_events) as events;

-- What is there already.
insert into archive_counts (deleted, payloads, events) select deleted, payloads, events from archive_counted;

-- Failed units of a job, and jobs by tool and state, are listed by these.
create index jobs_by_tool on jobs (tool, created_at desc, id desc);
