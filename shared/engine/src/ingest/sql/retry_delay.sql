-- ingest.retry_delay: the seconds until a unit may be tried again; nothing when it is not to be
select extract(epoch from not_before - now())::double precision
from ingestion_work_units
where id = $1 and status = 'pending'
