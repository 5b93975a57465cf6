-- jobs.submit
insert into jobs (id, tool, params, params_hash, idempotency_key, principal, priority, ttl_hours, trace_id,
                  parent_job_id, deadline_at, query_key, units_total, attempt)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12, 1,
        coalesce((select parent.attempt + 1 from jobs parent where parent.id = $10), 1))
on conflict do nothing
returning *
