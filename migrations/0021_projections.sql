-- Projections of the event log, the change feed that is the first of them, and leases with fencing tokens. Reads and
-- rewrites no row that is there.

-- Events of records of any type. record_id names a record within its type; of a PubMed record it is its PMID, and null in
-- rows from before this column. Only PubMed records have a pmid, so what reads the log by PMID sees no others.
-- integrity: what the payload says of itself, noted when it was accepted; integrity_rules: by which rules it was read.
-- Rules null: accepted before this column, or by a repair. Integrity null beside rules: the payload says nothing.
alter table archive_events
    add column record_type text not null default 'pubmed',
    add column record_id text,
    add column integrity_rules smallint,
    add column integrity jsonb,
    alter column pmid drop not null;
-- Rows from before satisfy it, and are not read for that.
alter table archive_events add constraint archive_events_record check (
    case when record_type = 'pubmed' then pmid is not null and coalesce(record_id = pmid, true)
         else pmid is null and record_id is not null end
) not valid;

-- How far each reader of the log is. The position moves in the transaction that writes what follows from the events.
create table projections (
    name        text primary key,
    -- What follows from every event up to this number is written.
    seq         bigint not null default 0,
    -- A rebuild is under way, and has written anew what follows from the events up to here; null: none is.
    rebuilt_seq bigint,
    -- Counts the ways in which events were read: a program with newer rules starts a rebuild.
    rules       integer not null,
    -- Counts permanent purges: what was prepared before one is not written after it.
    purges      bigint not null default 0,
    -- When a position last moved.
    updated_at  timestamptz not null default clock_timestamp(),
    check (seq >= 0 and rebuilt_seq between 0 and seq)
);

-- The change feed: what changed with each event, in the words of a reader. An event gives no row when nothing changed for
-- a reader, and several when it is of several kinds. Hash, address and time are those of the event with the same number.
create table changes (
    seq         bigint not null,
    kind        text not null check (kind in (
        'new', 'revised', 'retracted', 'retraction_withdrawn', 'corrected', 'concern', 'deleted')),
    record_type text not null,
    record_id   text not null,
    -- What the payload says of itself. Unknown: it could not be read. Null: deleted, or of a type that says nothing.
    integrity   text check (integrity in ('ok', 'corrected', 'concern', 'retracted', 'retraction_notice', 'unknown')),
    -- From what, where it is not ok: notices and evidence, as in the typed record.
    details     jsonb,
    primary key (seq, kind)
);
-- The last change of a record.
create index changes_record on changes (record_type, record_id, seq);
-- Most changes are new or revised records: the others are found without them.
create index changes_rare on changes (seq, kind) where kind not in ('new', 'revised');
create index changes_unknown on changes (record_type, record_id) where integrity = 'unknown';

-- Programs do not change events. What the payloads of a permanently purged record said is removed from its events by
-- this function, with the rights of its owner, once the record is deleted. Nothing is left that newer rules could read.
create function forget_integrity(purged text) returns void
language sql security definer
begin atomic
    update archive_events e
    set integrity = '{"status": "unknown"}', integrity_rules = 32767
    where e.pmid = purged and e.content_hash is not null
      and exists (select from pubmed_archive a where a.pmid = purged and a.deleted_at is not null);
end;
revoke execute on function forget_integrity(text) from public;

-- Leases: what only one process of a deployment may do at a time. The token grows with every holder, and a transaction
-- that names an older one than is here is refused. Leases that are kept elsewhere have rows too, for their tokens alone.
create table leases (
    name       text primary key,
    token      bigint not null,
    -- The host that took it; null while it is free.
    holder     text,
    -- Until when, by the database's clock; null while it is free, and of leases that are kept elsewhere.
    expires_at timestamptz,
    -- The time for which it was requested, in seconds: a lease that lasts longer was written by a clock that was ahead.
    ttl        double precision
);
