-- Files on the disk of one machine, registered by name, size and hash; only that machine's workers
-- open them. A path never stands in a job's parameters.
create table local_files (
    hostname      text not null,
    sha256        text not null,
    name          text not null,
    size_bytes    bigint not null,
    path          text not null,
    modified_at   timestamptz not null,
    md5_verified  boolean not null,
    registered_at timestamptz not null default now(),
    primary key (hostname, sha256, name)
);
