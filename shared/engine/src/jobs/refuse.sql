-- jobs.refuse: a step of a chain that cannot be submitted
insert into jobs (id, tool, params, params_hash, principal, priority, ttl_hours, trace_id, deadline_at, chain, chain_id,
                  chain_step, chain_hash, state, error, completed_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, now(), $9, $10, $11, $12, 'failed', $13, now(), now() + make_interval(hours => $7))
