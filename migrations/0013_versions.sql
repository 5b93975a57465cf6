-- Versions of a record (PMID Version): each has a newest payload of its own.

-- The highest position in NLM's sequence of files that arrived for the pointer's version, whatever payload the pointer
-- holds (0, 0: that of the payload itself); `versioned`: the record's versions are in pubmed_archive_versions;
-- `file_id` tells a file that NLM did not name from others: the start of the SHA-256 of its bytes.
alter table pubmed_archive
    add column rank_file integer not null default 0,
    add column rank_position bigint not null default 0,
    add column versioned boolean not null default false,
    add column file_id text;

-- The newest state of every version of each record that has, or had, more than one. The pointer of the record is the
-- highest version that is not deleted. Version 0: a deletion of all versions, also of those that have no row.
create table pubmed_archive_versions (
    pmid          text not null,
    version       integer not null check (version >= 0),
    s3_uri        text not null,
    content_hash  text,
    fetched_at    timestamptz not null,
    api_etag      text,
    retracted     boolean not null default false,
    date_revised  date,
    as_of         timestamptz not null,
    file_number   integer not null,
    position      bigint not null,
    file_id       text,
    rank_file     integer not null,
    rank_position bigint not null,
    deleted_at    timestamptz,
    primary key (pmid, version),
    check ((content_hash is null) = (deleted_at is not null)),
    check (version > 0 or deleted_at is not null)
);

-- Which version of the record a change was of; null for changes before this column.
alter table archive_events add column record_version integer;

-- Where long work that an operator starts by hand goes on after a stop.
create table maintenance (
    name       text primary key,
    cursor     text not null,
    updated_at timestamptz not null default now()
);
