-- ingest.start_unit
with unit as (
    update ingestion_work_units set status = 'processing', heartbeat_at = now()
    where id = $1 and epoch = $2 and status = 'claimed'
    returning id, epoch
), attempt as (
    update ingestion_unit_attempts a set started_at = now()
    from unit where a.unit_id = unit.id and a.epoch = unit.epoch
)
select 1 from unit
