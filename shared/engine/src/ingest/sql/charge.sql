-- ingest.charge: of principals without a limit nothing is counted
insert into principal_records as r (principal, day, records)
select principal, (now() at time zone 'UTC')::date, $2 from jobs where id = $1 and daily_records is not null
on conflict (principal, day) do update set records = r.records + excluded.records
