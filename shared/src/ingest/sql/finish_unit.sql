-- ingest.finish_unit
update ingestion_work_units
set status = $3, outcomes_ref = coalesce($4, outcomes_ref), error_code = $5, error_message = $6,
    processing_duration_ms = $7, completed_at = now(), lease_until = null
where id = $1 and epoch = $2 and status in ('claimed', 'processing')
