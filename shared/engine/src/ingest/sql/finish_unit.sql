-- ingest.finish_unit
with unit as (
    update ingestion_work_units
    set status = $3, outcomes_ref = coalesce($4, outcomes_ref), processing_duration_ms = $5, completed_at = now(),
        lease_until = null
    where id = $1 and epoch = $2 and status in ('claimed', 'processing')
    returning id, epoch
), attempt as (
    update ingestion_unit_attempts a set ended_at = now(), ended_as = $3
    from unit where a.unit_id = unit.id and a.epoch = unit.epoch
)
select 1 from unit
