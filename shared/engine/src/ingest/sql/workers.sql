-- ingest.workers: workers that were heard of lately, with or without a unit, by machine, without those that are known
-- by their locks
select hostname, count(distinct worker_id) as workers
from (
    select worker_id, worker_hostname as hostname from ingestion_work_units
    where status in ('claimed', 'processing') and heartbeat_at > now() - make_interval(secs => $2)
    union all
    select worker_id, hostname from ingestion_workers where seen_at > now() - make_interval(secs => $2)
) heard
where worker_id <> all ($1)
group by hostname
order by hostname
