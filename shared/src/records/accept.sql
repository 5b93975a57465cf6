-- records.accept
-- Pointer, history and event of each record in one statement. A pointer only moves forward: what
-- is older than the row is not accepted, whatever the caller saw before. Only what was accepted
-- gets history and an event.
with input as (
    select *
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::integer[],
                $8::date[], $9::timestamptz[], $10::integer[], $11::bigint[], $12::boolean[], $13::boolean[])
        as t (pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of,
              file_number, position, deleted, retracted)
    order by pmid
),
accepted as (
    insert into pubmed_archive as a
        (pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of,
         file_number, position, deleted_at)
    select pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of,
           file_number, position, case when deleted then now() end
    from input
    on conflict (pmid) do update
    set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash, fetched_at = excluded.fetched_at,
        api_etag = excluded.api_etag, object_etag = excluded.object_etag, record_version = excluded.record_version,
        date_revised = excluded.date_revised, as_of = excluded.as_of, file_number = excluded.file_number,
        position = excluded.position, deleted_at = excluded.deleted_at, missing_since = null, updated_at = now()
    where a.s3_uri is distinct from excluded.s3_uri
      and case
          when a.deleted_at is not null or excluded.deleted_at is not null
          then (excluded.as_of, excluded.file_number, excluded.position) >= (a.as_of, a.file_number, a.position)
          else (excluded.record_version, coalesce(excluded.date_revised, '-infinity'), excluded.as_of,
                excluded.file_number, excluded.position)
               >= (a.record_version, coalesce(a.date_revised, '-infinity'), a.as_of, a.file_number, a.position)
          end
    returning a.pmid
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
    insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at)
    select n.before + row_number() over (order by i.pmid), i.pmid,
           case when i.deleted then 'deleted' else 'archived' end, i.content_hash, i.s3_uri, n.at
    from input i join accepted using (pmid) cross join numbers n
)
select pmid from accepted
