-- ingest.insert_units
insert into ingestion_work_units (id, job_id, phase, seq, input, required_hostname, label, priority)
select t.id, j.id, $2, t.seq, t.input, t.required_hostname, t.label, j.priority
from unnest($3::uuid[], $4::integer[], $5::jsonb[], $6::text[], $7::text[]) as t (id, seq, input, required_hostname, label)
join jobs j on j.id = $1
