-- limits.acquire_lease: what is free, has run out, or runs longer than any lease does
insert into leases as l (name, token, holder, expires_at)
values ($1, 1, $2, clock_timestamp() + make_interval(secs => $3))
on conflict (name) do update
set token = l.token + 1, holder = excluded.holder, expires_at = clock_timestamp() + make_interval(secs => $3)
where l.expires_at is null or l.expires_at <= clock_timestamp()
   or l.expires_at > clock_timestamp() + make_interval(secs => $3 + $4)
returning token
