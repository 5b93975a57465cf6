-- ingest.finish_unit
update ingestion_work_units
set status = $3, outcomes_ref = coalesce($4, outcomes_ref), processing_duration_ms = $5, completed_at = now(),
    lease_until = null
where id = $1 and epoch = $2 and status in ('claimed', 'processing')
