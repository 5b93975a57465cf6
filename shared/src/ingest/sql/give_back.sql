-- ingest.give_back: without blame, claimable again after a pause of at most five minutes
update ingestion_work_units
set status = 'pending', not_before = now() + make_interval(secs => least($3, 300)), worker_id = null,
    worker_hostname = null, claimed_at = null, heartbeat_at = null, lease_until = null
where id = $1 and epoch = $2 and status in ('claimed', 'processing')
