-- ingest.fence: no row means that another worker has the unit. Its key is not locked: rows that refer to the unit are
-- written meanwhile
select 1
from ingestion_work_units
where id = $1 and epoch = $2 and status = 'processing'
for no key update
