-- Who made what, and how much each principal may do.

-- What a principal that is no admin may store in a day; null has no limit. Noted with the job, so that every worker
-- keeps to what held when it was submitted.
alter table jobs add column daily_records bigint;

-- Records that the jobs of a principal stored in a day (UTC). Rows go after forty days.
create table principal_records (
    principal text not null,
    day       date not null,
    records   bigint not null,
    primary key (principal, day)
);

-- Who bound a key. A key whose query is '' names a list of PMIDs: only its principal, or an admin, adds to it.
alter table sync_queries add column principal text;

-- Lists that were made before keys of lists were bound: the distinct keys, each found by one step through the index.
with recursive keys as (
    (select query_key from query_members order by query_key limit 1)
    union all
    select (select m.query_key from query_members m where m.query_key > keys.query_key order by m.query_key limit 1)
    from keys
    where keys.query_key is not null
)
insert into sync_queries (query_key, query, principal)
select query_key, '', 'local' from keys where query_key is not null
on conflict do nothing;

-- Who made a checkpoint, and since when it is deleted: its row stays for thirty days more.
alter table corpus_checkpoints add column principal text not null default 'local';
alter table corpus_checkpoints add column deleted_at timestamptz;
create index corpus_checkpoints_deleted on corpus_checkpoints (deleted_at) where deleted_at is not null;
