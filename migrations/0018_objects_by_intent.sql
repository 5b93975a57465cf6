-- What this archive wrote, or was about to write. Write access to the store is not enough to change what readers believe:
-- an object becomes a pointer only when a row here, or a pointer, names it.

-- The objects of a batch, committed before they are stored, gone when the batch is committed: PMIDs, and in the same
-- order the SHA-256 of the stored bytes, 32 bytes each. Those of a unit that was given up stay: what it stored is this
-- archive's own. Without a unit: an operator's own write, or the unit is gone.
create table archive_intents (
    id         bigint generated always as identity primary key,
    unit_id    uuid references ingestion_work_units on delete set null,
    pmids      integer[] not null,
    hashes     bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    check (octet_length(hashes) = 32 * cardinality(pmids))
);
create index archive_intents_unit on archive_intents (unit_id);
alter table archive_intents alter column hashes set storage external;

-- A unit that completed has made rows of what its earlier attempts stored.
create function forget_intents() returns trigger language plpgsql as $$
begin
    delete from archive_intents where unit_id = new.id;
    return null;
end $$;
create trigger work_units_forget_intents after update of status on ingestion_work_units for each row
when (new.status = 'completed' and old.status <> 'completed')
execute function forget_intents();

-- Versions of objects that no pointer was ever made of. Own ones were overtaken by a newer payload. Others were not
-- written by this archive: they stay where they are, and `verify` names them.
create table archive_set_aside (
    pmid       text not null,
    version_id text not null,
    s3_uri     text not null,
    is_own     boolean not null,
    reason     text not null,
    found_at   timestamptz not null default clock_timestamp(),
    primary key (pmid, version_id)
);
create index archive_set_aside_foreign on archive_set_aside (found_at) where not is_own;

-- Since when a pointer rests on its object's word alone, because the rows were lost: until a payload from upstream
-- moves it.
alter table pubmed_archive add column from_objects_at timestamptz;
create index pubmed_archive_from_objects on pubmed_archive (pmid) where from_objects_at is not null;

-- Pointers, and newest states of versions, whose as-of time is in the future: genuine revisions would be older than
-- they are. What is known is that their payload was true when it came; a time that is in the future too is unknown.
-- Null: all of them.
create function pull_back_pointers(p_pmids text[]) returns setof clock_corrections language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_latest timestamptz := v_now + interval '1 minute';
begin
    return query
    with pointers as (
        select pmid, as_of as was from pubmed_archive
        where as_of > v_latest and (p_pmids is null or pmid = any (p_pmids))
        order by pmid for update
    ),
    moved as (
        update pubmed_archive a
        set as_of = case when a.fetched_at > v_latest then 'epoch' else a.fetched_at end
        from pointers p where a.pmid = p.pmid
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'pubmed_archive.as_of', case when count(*) = 1 then min(pmid) else count(*) || ' records' end, max(was), null
    from pointers having count(*) > 0
    returning *;

    return query
    with versions as (
        select pmid, version, as_of as was from pubmed_archive_versions
        where as_of > v_latest and (p_pmids is null or pmid = any (p_pmids))
        order by pmid, version for update
    ),
    moved as (
        update pubmed_archive_versions a
        set as_of = case when a.fetched_at > v_latest then 'epoch' else a.fetched_at end
        from versions v where a.pmid = v.pmid and a.version = v.version
    )
    insert into clock_corrections (what, name, was, set_to)
    select 'pubmed_archive_versions.as_of', case when count(*) = 1 then min(pmid) else count(*) || ' versions' end,
           max(was), null
    from versions having count(*) > 0
    returning *;

    delete from clock_corrections where id <= (select max(id) - 1000 from clock_corrections);
end $$;
