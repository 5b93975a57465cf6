-- records.restore_history: a row whose object cannot be read any more gets the address of one that can
insert into pubmed_archive_history as h (pmid, content_hash, s3_uri, fetched_at, retracted)
values ($1, $2, $3, $4, $6)
on conflict (pmid, content_hash) do update
set s3_uri = excluded.s3_uri, fetched_at = excluded.fetched_at, retracted = excluded.retracted
where h.s3_uri <> all ($5) or h.retracted is distinct from excluded.retracted
