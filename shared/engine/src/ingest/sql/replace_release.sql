-- ingest.replace_release: an ingest of the same version that has ended, of other content, is no longer the one of its
-- version; one whose content is not known is not replaced
update ingestion_jobs earlier
set is_release = false
from jobs j
where j.id = $1 and earlier.id <> j.id
  and earlier.organization_id = j.principal and earlier.job_type = j.tool and earlier.external_version = $2
  and earlier.is_release and earlier.is_whole and earlier.status = 'completed'
  and earlier.source_digest <> $3
returning earlier.id
