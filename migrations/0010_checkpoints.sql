-- Checkpoints: a corpus as it was at a place in the event log, with a digest that tells two corpora apart.

-- On a large archive this takes longer than any other statement may.
set local statement_timeout = 0;
set local lock_timeout = 0;

-- Whether a payload says that its article was retracted; null for payloads archived before this column.
alter table pubmed_archive_history add column retracted boolean;

create index query_members_pmid on query_members (pmid);

-- The corpus now: of the whole archive under '', and of each query_key. A digest does not depend on the order of
-- its records: SHA-256 of 'pmid:content_hash' is taken as four 64-bit big-endian words, and w1 to w4 are the sums
-- of these over all live records, modulo 2^64 (kept as signed numbers).
create table corpus_digests (
    query_key text primary key,
    documents bigint not null,
    w1        bigint not null,
    w2        bigint not null,
    w3        bigint not null,
    w4        bigint not null
);

create function wrap_64(n numeric) returns bigint language sql immutable strict parallel safe as $$
    select (mod(mod(n, 18446744073709551616) + 27670116110564327424, 18446744073709551616) - 9223372036854775808)::bigint
$$;

-- Both are plain expressions, which Postgres puts in place of the calls.
create function corpus_hash(pmid text, content_hash text) returns text language sql parallel safe as $$
    select encode(sha256(convert_to(pmid || ':' || content_hash, 'UTF8')), 'hex')
$$;

create function corpus_word(hash text, n integer) returns bigint language sql parallel safe as $$
    select ('x' || substr(hash, 16 * n - 15, 16))::bit(64)::bigint
$$;

-- Adds records to corpora (sign 1) or takes them out (-1).
create function corpus_add(query_keys text[], pmids text[], hashes text[], signs bigint[]) returns void
language sql as $$
    insert into corpus_digests as d (query_key, documents, w1, w2, w3, w4)
    select query_key, sum(sign),
           wrap_64(sum(sign * corpus_word(h, 1)::numeric)), wrap_64(sum(sign * corpus_word(h, 2)::numeric)),
           wrap_64(sum(sign * corpus_word(h, 3)::numeric)), wrap_64(sum(sign * corpus_word(h, 4)::numeric))
    from (
        select query_key, sign, corpus_hash(pmid, hash) as h
        from unnest(query_keys, pmids, hashes, signs) as t (query_key, pmid, hash, sign)
        offset 0 -- so that each is hashed once
    ) as records
    group by query_key
    order by query_key
    on conflict (query_key) do update
    set documents = d.documents + excluded.documents,
        w1 = wrap_64(d.w1::numeric + excluded.w1), w2 = wrap_64(d.w2::numeric + excluded.w2),
        w3 = wrap_64(d.w3::numeric + excluded.w3), w4 = wrap_64(d.w4::numeric + excluded.w4)
$$;

-- Pointers and memberships change under the lock of the event counter. Both triggers take it before they read the
-- other table, so whichever of two transactions comes second sees what the first one did, and each record counts
-- once for each of its queries.
create function corpus_pointers_changed(pmids text[], hashes text[], signs bigint[]) returns void
language plpgsql as $$
begin
    if pmids is null then
        return;
    end if;
    perform from archive_event_counter for update;
    perform corpus_add(array_agg(query_key), array_agg(pmid), array_agg(hash), array_agg(sign))
    from (
        select '' as query_key, t.* from unnest(pmids, hashes, signs) as t (pmid, hash, sign)
        union all
        select m.query_key, t.* from unnest(pmids, hashes, signs) as t (pmid, hash, sign) join query_members m using (pmid)
    ) as changes;
end
$$;

create function corpus_pointers_inserted() returns trigger language plpgsql as $$
begin
    perform corpus_pointers_changed(array_agg(pmid), array_agg(content_hash), array_agg(1::bigint))
    from added where content_hash is not null;
    return null;
end
$$;

create function corpus_pointers_updated() returns trigger language plpgsql as $$
begin
    perform corpus_pointers_changed(array_agg(c.pmid), array_agg(c.hash), array_agg(c.sign))
    from (
        select o.pmid, o.content_hash as hash, -1::bigint as sign
        from before o join after n using (pmid)
        where o.content_hash is not null and o.content_hash is distinct from n.content_hash
        union all
        select n.pmid, n.content_hash, 1
        from before o join after n using (pmid)
        where n.content_hash is not null and o.content_hash is distinct from n.content_hash
    ) as c;
    return null;
end
$$;

create function corpus_pointers_deleted() returns trigger language plpgsql as $$
begin
    perform corpus_pointers_changed(array_agg(pmid), array_agg(content_hash), array_agg(-1::bigint))
    from gone where content_hash is not null;
    return null;
end
$$;

create function corpus_members_added() returns trigger language plpgsql as $$
begin
    perform from archive_event_counter for update;
    perform corpus_add(array_agg(query_key), array_agg(pmid), array_agg(content_hash), array_agg(1::bigint))
    from added join pubmed_archive a using (pmid)
    where a.content_hash is not null
    having count(*) > 0;
    return null;
end
$$;

create trigger corpus_pointers_inserted after insert on pubmed_archive
    referencing new table as added for each statement execute function corpus_pointers_inserted();
create trigger corpus_pointers_updated after update on pubmed_archive
    referencing old table as before new table as after for each statement execute function corpus_pointers_updated();
create trigger corpus_pointers_deleted after delete on pubmed_archive
    referencing old table as gone for each statement execute function corpus_pointers_deleted();
create trigger corpus_members_added after insert on query_members
    referencing new table as added for each statement execute function corpus_members_added();

-- All digests as they should be, counted anew.
create function corpus_counted() returns setof corpus_digests language sql stable as $$
    select query_key, count(h), coalesce(wrap_64(sum(corpus_word(h, 1))), 0), coalesce(wrap_64(sum(corpus_word(h, 2))), 0),
           coalesce(wrap_64(sum(corpus_word(h, 3))), 0), coalesce(wrap_64(sum(corpus_word(h, 4))), 0)
    from (
        select '' as query_key, null as h
        union all
        select '', corpus_hash(pmid, content_hash) from pubmed_archive where content_hash is not null
        union all
        select query_key, corpus_hash(pmid, content_hash)
        from query_members join pubmed_archive using (pmid) where content_hash is not null
    ) as records
    group by query_key
$$;

-- Puts all digests right; answers how many were wrong.
create function corpus_recount() returns bigint language plpgsql as $$
declare
    wrong bigint;
begin
    perform from archive_event_counter for update;
    create temporary table corpus_right on commit drop as select * from corpus_counted();
    with gone as (
        delete from corpus_digests d where not exists (select from corpus_right r where r.query_key = d.query_key)
            and (d.documents, d.w1, d.w2, d.w3, d.w4) is distinct from (0, 0, 0, 0, 0)
        returning 1
    ),
    put as (
        insert into corpus_digests as d select * from corpus_right
        on conflict (query_key) do update
        set documents = excluded.documents, w1 = excluded.w1, w2 = excluded.w2, w3 = excluded.w3, w4 = excluded.w4
        where (d.documents, d.w1, d.w2, d.w3, d.w4)
              is distinct from (excluded.documents, excluded.w1, excluded.w2, excluded.w3, excluded.w4)
        returning 1
    )
    select (select count(*) from gone) + (select count(*) from put) into wrong;
    return wrong;
end
$$;

create function corpus_emptied() returns trigger language plpgsql as $$
begin
    update corpus_digests set documents = 0, w1 = 0, w2 = 0, w3 = 0, w4 = 0;
    return null;
end
$$;
create trigger corpus_emptied after truncate on pubmed_archive for each statement execute function corpus_emptied();

-- What is there already.
insert into corpus_digests select * from corpus_counted();

-- A checkpoint copies nothing: it is a place in the event log and the queries whose records count.
create table corpus_checkpoints (
    checkpoint_id        text primary key,
    name                 text not null,
    description          text,
    primary_queries      text[] not null,
    parent_checkpoint_id text,
    seq                  bigint not null,
    total_documents      bigint not null,
    digest               text not null,
    created_at           timestamptz not null default now()
);
create index corpus_checkpoints_newest on corpus_checkpoints (created_at desc, checkpoint_id desc);

-- Changes between two places of the log.
create index query_members_seq on query_members (query_key, first_seq);
