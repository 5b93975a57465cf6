-- projections.begin_rules: a position where there is none; what older rules have read is to be read again
insert into projections as p (name, rules) values ($1, $2)
on conflict (name) do update
set rules = excluded.rules, rebuilt_seq = case when p.seq > 0 then 0 end, updated_at = clock_timestamp()
where p.rules < excluded.rules
