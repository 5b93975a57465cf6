-- ingest.troubled_attempts
select * from (
    select a.unit_id, u.phase, u.seq, a.epoch, a.attempt, a.worker_id, a.worker_hostname, a.claimed_at, a.started_at,
           a.ended_at, a.ended_as, a.error_code, a.error_message
    from ingestion_unit_attempts a
    join ingestion_work_units u on u.id = a.unit_id
    where u.job_id = $1 and a.ended_as in ('failed', 'reclaimed', 'snoozed')
    order by a.ended_at desc, a.unit_id, a.epoch desc
    limit $2
) last
order by ended_at, unit_id, epoch
