-- records.put_versions
insert into pubmed_archive_versions as v
    (pmid, version, s3_uri, content_hash, fetched_at, api_etag, retracted, date_revised, as_of, file_number, position,
     file_id, rank_file, rank_position, deleted_at)
select $1, version, s3_uri, content_hash, fetched_at, api_etag, retracted, date_revised, as_of, file_number, position,
       file_id, rank_file, rank_position, case when deleted then now() end
from unnest($2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::boolean[], $8::date[],
            $9::timestamptz[], $10::integer[], $11::bigint[], $12::text[], $13::integer[], $14::bigint[],
            $15::boolean[])
    as t (version, s3_uri, content_hash, fetched_at, api_etag, retracted, date_revised, as_of, file_number, position,
          file_id, rank_file, rank_position, deleted)
on conflict (pmid, version) do update
set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash, fetched_at = excluded.fetched_at,
    api_etag = excluded.api_etag, retracted = excluded.retracted, date_revised = excluded.date_revised,
    as_of = excluded.as_of, file_number = excluded.file_number, position = excluded.position,
    file_id = excluded.file_id, rank_file = excluded.rank_file, rank_position = excluded.rank_position,
    deleted_at = case when excluded.deleted_at is not null then coalesce(v.deleted_at, excluded.deleted_at) end
where (v.s3_uri, v.content_hash, v.date_revised, v.as_of, v.file_number, v.position, v.file_id, v.rank_file,
       v.rank_position)
      is distinct from
      (excluded.s3_uri, excluded.content_hash, excluded.date_revised, excluded.as_of, excluded.file_number,
       excluded.position, excluded.file_id, excluded.rank_file, excluded.rank_position)
