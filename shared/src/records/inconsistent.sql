-- records.inconsistent
select a.pmid, 'the payload has no history row'
from pubmed_archive a
left join pubmed_archive_history h on h.pmid = a.pmid and h.content_hash = a.content_hash
where a.content_hash is not null and h.pmid is null
union all
select a.pmid, 'the pointer is not the last accepted change'
from pubmed_archive a
left join lateral (select s3_uri from archive_events e where e.pmid = a.pmid order by seq desc limit 1) e on true
where split_part(e.s3_uri, 'versionId=', 2) is distinct from split_part(a.s3_uri, 'versionId=', 2)
union all
select distinct h.pmid, 'a history row has no pointer'
from pubmed_archive_history h
left join pubmed_archive a on a.pmid = h.pmid
where a.pmid is null
union all
select a.pmid, 'the pointer is not the highest version that is not deleted'
from pubmed_archive a
left join lateral (select content_hash from pubmed_archive_versions v
                   where v.pmid = a.pmid and v.deleted_at is null order by v.version desc limit 1) v on true
where a.versioned and v.content_hash is distinct from a.content_hash
limit $1
