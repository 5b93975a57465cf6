-- ingest.fail_unit: returns whether the unit has failed for good; waits longer before each attempt
with unit as (
    update ingestion_work_units
    set status = case when $5 and retry_count + 1 < max_retries then 'pending' else 'failed' end,
        retry_count = retry_count + 1,
        not_before = now() + make_interval(secs => least(60, power(2, retry_count)) * (0.5 + random() / 2)),
        worker_id = null, worker_hostname = null, claimed_at = null, heartbeat_at = null, lease_until = null,
        completed_at = case when $5 and retry_count + 1 < max_retries then null else now() end,
        error_code = $3, error_message = $4
    where id = $1 and epoch = $2 and status in ('claimed', 'processing')
    returning id, epoch, status
), attempt as (
    update ingestion_unit_attempts a
    set ended_at = now(), ended_as = 'failed', error_code = $3, error_message = $4
    from unit where a.unit_id = unit.id and a.epoch = unit.epoch
)
select status = 'failed' from unit
