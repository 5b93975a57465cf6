-- records.accept
-- Pointer, history and event of each record in one statement. A pointer changes only while it is still the row that
-- its payload was compared with (expected_uri, expected_as_of; null: there was none). Only what was accepted gets
-- history and an event.
with input as materialized (
    select *
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::integer[],
                $8::date[], $9::timestamptz[], $10::integer[], $11::bigint[], $12::text[], $13::integer[],
                $14::bigint[], $15::boolean[], $16::boolean[], $17::text[], $18::timestamptz[], $19::smallint[],
                $20::jsonb[])
        as t (pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of,
              file_number, position, file_id, rank_file, rank_position, deleted, retracted, expected_uri,
              expected_as_of, integrity_rules, integrity)
    order by pmid
),
inserted as (
    insert into pubmed_archive
        (pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of,
         file_number, position, file_id, rank_file, rank_position, deleted_at)
    select pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of,
           file_number, position, file_id, rank_file, rank_position, case when deleted then now() end
    from input
    where expected_uri is null
    on conflict (pmid) do nothing
    returning pmid
),
locked as materialized (
    select a.pmid
    from pubmed_archive a join input i using (pmid)
    where i.expected_uri is not null
    order by a.pmid
    for update of a
),
updated as (
    update pubmed_archive a
    set s3_uri = i.s3_uri, content_hash = i.content_hash, fetched_at = i.fetched_at, api_etag = i.api_etag,
        object_etag = i.object_etag, record_version = i.record_version, date_revised = i.date_revised,
        as_of = i.as_of, file_number = i.file_number, position = i.position, file_id = i.file_id,
        rank_file = i.rank_file, rank_position = i.rank_position,
        deleted_at = case when i.deleted then now() end, missing_since = null, updated_at = now(), from_objects_at = null
    from locked l join input i using (pmid)
    where a.pmid = l.pmid and a.s3_uri = i.expected_uri and a.as_of = i.expected_as_of
      and not a.versioned and a.record_version = i.record_version and a.s3_uri <> i.s3_uri
      and (a.rank_file, a.rank_position) <= (i.rank_file, i.rank_position)
    returning a.pmid
),
accepted as (
    select pmid from inserted union all select pmid from updated
),
past as (
    insert into pubmed_archive_history (pmid, content_hash, s3_uri, fetched_at, retracted)
    select i.pmid, i.content_hash, i.s3_uri, i.fetched_at, i.retracted
    from input i join accepted using (pmid)
    where i.content_hash is not null
    on conflict do nothing
),
numbers as (
    update archive_event_counter
    set last_seq = last_seq + (select count(*) from accepted)
    returning last_seq - (select count(*) from accepted) as before, clock_timestamp() as at
),
events as (
    insert into archive_events
        (seq, pmid, record_id, outcome, content_hash, s3_uri, accepted_at, record_version, integrity_rules, integrity)
    select n.before + row_number() over (order by i.pmid), i.pmid, i.pmid,
           case when i.deleted then 'deleted' else 'archived' end, i.content_hash, i.s3_uri, n.at, i.record_version,
           i.integrity_rules, i.integrity
    from input i join accepted using (pmid) cross join numbers n
)
select pmid from accepted
