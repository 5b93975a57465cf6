-- limits.acquire_lease: one that is free, has expired, or lasts longer than its holder requested
insert into leases as l (name, token, holder, expires_at, ttl)
values ($1, 1, $2, clock_timestamp() + make_interval(secs => $3), $3)
on conflict (name) do update
set token = l.token + 1, holder = excluded.holder, expires_at = excluded.expires_at, ttl = excluded.ttl
where l.expires_at is null or l.expires_at <= clock_timestamp()
   or l.expires_at > clock_timestamp() + make_interval(secs => l.ttl + $4)
returning token
