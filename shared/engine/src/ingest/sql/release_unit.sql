-- ingest.release_unit: without counting an attempt, claimable again after a pause of at most five minutes
with unit as (
    update ingestion_work_units
    set status = 'pending', not_before = now() + make_interval(secs => least($3, 300)), worker_id = null,
        worker_hostname = null, claimed_at = null, heartbeat_at = null, lease_until = null
    where id = $1 and epoch = $2 and status in ('claimed', 'processing')
    returning id, epoch
), attempt as (
    update ingestion_unit_attempts a set ended_at = now(), ended_as = $4, error_message = $5
    from unit where a.unit_id = unit.id and a.epoch = unit.epoch
)
select 1 from unit
