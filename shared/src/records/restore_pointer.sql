-- records.restore_pointer: $16: the rows were lost, the object's word is all there is
insert into pubmed_archive as a
    (pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of, file_number,
     position, file_id, rank_file, rank_position, deleted_at, from_objects_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, case when $15 then $4 end,
        case when $16 then now() end)
on conflict (pmid) do update
set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash, fetched_at = excluded.fetched_at,
    api_etag = excluded.api_etag, object_etag = excluded.object_etag, record_version = excluded.record_version,
    date_revised = excluded.date_revised, as_of = excluded.as_of, file_number = excluded.file_number,
    position = excluded.position, file_id = excluded.file_id, rank_file = excluded.rank_file,
    rank_position = excluded.rank_position,
    deleted_at = case when excluded.deleted_at is not null then coalesce(a.deleted_at, excluded.deleted_at) end,
    updated_at = now(),
    from_objects_at = coalesce(excluded.from_objects_at, a.from_objects_at)
