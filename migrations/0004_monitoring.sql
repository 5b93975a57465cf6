-- The four monitoring queries as views; docs/operations.md shows them.

-- Jobs in progress with percent stored.
-- How many records a file holds is known at its end; until then the bytes read tell how far it is.
create view monitoring_jobs as
select i.id, i.job_type, i.status, i.records_processed, i.records_stored, i.total_records,
       round(coalesce(100.0 * i.records_stored / nullif(i.total_records, 0),
                      100.0 * (j.progress ->> 'fraction')::numeric * i.records_stored
                          / nullif(i.records_processed, 0)), 1) as percent_stored
from ingestion_jobs i
join jobs j on j.id = i.id
where i.status not in ('completed', 'failed', 'cancelled')
order by i.created_at;

-- Units per job type and status.
create view monitoring_units as
select j.tool as job_type, u.status, count(*) as units, avg(u.processing_duration_ms) as avg_processing_duration_ms
from ingestion_work_units u
join jobs j on j.id = u.job_id
group by j.tool, u.status
order by j.tool, u.status;

-- Active workers.
create view monitoring_workers as
select worker_id, worker_hostname, count(*) as units, max(heartbeat_at) as last_heartbeat_at
from ingestion_work_units
where status in ('claimed', 'processing')
group by worker_id, worker_hostname
order by last_heartbeat_at desc;

-- Workers not heard of for two minutes.
create view monitoring_stale_workers as
select worker_id, worker_hostname, count(*) as units, max(heartbeat_at) as last_heartbeat_at
from ingestion_work_units
where status in ('claimed', 'processing')
group by worker_id, worker_hostname
having max(heartbeat_at) < now() - interval '2 minutes';
