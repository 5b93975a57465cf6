-- records.restore_pointer
insert into pubmed_archive as a
    (pmid, s3_uri, content_hash, fetched_at, api_etag, object_etag, record_version, date_revised, as_of, file_number,
     position, deleted_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, case when $12 then $4 end)
on conflict (pmid) do update
set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash, fetched_at = excluded.fetched_at,
    api_etag = excluded.api_etag, object_etag = excluded.object_etag, record_version = excluded.record_version,
    date_revised = excluded.date_revised, as_of = excluded.as_of, file_number = excluded.file_number,
    position = excluded.position, deleted_at = excluded.deleted_at, updated_at = now()
where (a.s3_uri, a.content_hash, a.object_etag, a.record_version, a.date_revised, a.as_of, a.file_number, a.position)
      is distinct from
      (excluded.s3_uri, excluded.content_hash, excluded.object_etag, excluded.record_version, excluded.date_revised,
       excluded.as_of, excluded.file_number, excluded.position)
   or (a.deleted_at is null) <> (excluded.deleted_at is null)
