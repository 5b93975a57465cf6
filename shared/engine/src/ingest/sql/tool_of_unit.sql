-- ingest.tool_of_unit: the tool of a unit that may be claimed now or later
select j.tool
from ingestion_work_units u
join jobs j on j.id = u.job_id
where u.id = $1 and u.status = 'pending'
