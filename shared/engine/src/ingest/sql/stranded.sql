-- ingest.stranded: unfinished jobs with nothing left to do
select id
from jobs j
where state in ('queued', 'running')
  and not exists (select from ingestion_work_units u
                  where u.job_id = j.id and u.status in ('pending', 'claimed', 'processing'))
