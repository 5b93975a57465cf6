-- records.object_status: what the rows say about an object of one record ($1 and $3),
-- its bytes ($2) and its version ($4)
select exists (select from archive_intents i cross join lateral unnest(i.pmids) with ordinality as u (pmid, n)
               where i.pmids @> array[$1::integer] and u.pmid = $1
                 and substring(i.hashes from ((u.n - 1) * 32 + 1)::integer for 32) = $2) as is_intended,
       exists (select from pubmed_archive a
               where a.pmid = $3 and split_part(a.s3_uri, '?versionId=', 2) = $4) as is_pointer,
       clock_timestamp() + interval '1 minute' as latest
