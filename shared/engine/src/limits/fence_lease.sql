-- limits.fence: nothing where a greater token was named
insert into leases as l (name, token) values ($1, $2)
on conflict (name) do update set token = excluded.token
where l.token <= excluded.token
