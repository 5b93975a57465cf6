-- jobs.cancel
update jobs
set cancel_requested_at = coalesce(cancel_requested_at, now()),
    state = case when $2 then 'cancelled' else state end,
    completed_at = case when $2 then now() else completed_at end,
    expires_at = case when $2 then now() + make_interval(hours => ttl_hours) else expires_at end
where id = $1
