-- Pointers into the archive. Each row can be rebuilt from the archive alone (`verify --repair`).

-- The newest accepted payload of each PMID. content_hash is null for a deleted record.
-- record_version, date_revised, as_of, file_number, position order the payloads of one PMID.
create table pubmed_archive (
    pmid           text primary key,
    s3_uri         text not null,
    content_hash   text,
    fetched_at     timestamptz not null,
    api_etag       text,
    object_etag    text not null,
    record_version integer not null,
    date_revised   date,
    as_of          timestamptz not null,
    file_number    integer not null,
    position       bigint not null,
    deleted_at     timestamptz,
    missing_since  timestamptz,
    updated_at     timestamptz not null default now(),
    check ((content_hash is null) = (deleted_at is not null))
);

-- One row per distinct payload.
create table pubmed_archive_history (
    pmid         text not null,
    content_hash text not null,
    s3_uri       text not null,
    fetched_at   timestamptz not null,
    primary key (pmid, content_hash)
);

-- Every accepted change, append-only. A reader that has seen seq n will never see a smaller one
-- appear: numbers are handed out under the lock of the counter row, held until commit.
create table archive_events (
    seq          bigint primary key,
    pmid         text not null,
    outcome      text not null check (outcome in ('archived', 'deleted')),
    content_hash text,
    s3_uri       text not null,
    accepted_at  timestamptz not null
);
create index archive_events_pmid on archive_events (pmid, seq);

create table archive_event_counter (
    only_row boolean primary key default true check (only_row),
    last_seq bigint not null
);
insert into archive_event_counter (last_seq) values (0);

-- Which query brought which record.
create table query_members (
    query_key text not null,
    pmid      text not null,
    first_seq bigint not null,
    primary key (query_key, pmid)
);
