-- records.named: versions that rows name; what was accepted after what was set aside
select pmid, s3_uri, content_hash, false from archive_events where pmid = any ($1)
union all
select pmid, s3_uri, content_hash, false from pubmed_archive_history where pmid = any ($1)
union all
select pmid, s3_uri, content_hash, false from pubmed_archive_versions where pmid = any ($1)
union all
select pmid, s3_uri, content_hash, false from pubmed_archive where pmid = any ($1)
union all
select pmid, s3_uri, null, true from archive_set_aside where pmid = any ($1)
