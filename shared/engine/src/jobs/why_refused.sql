-- jobs.why_refused: what a principal has going on, what it has stored today, and the seconds that today has left
select (select count(*) from jobs where principal = $1 and state in ('queued', 'running')),
       coalesce((select records from principal_records
                 where principal = $1 and day = (now() at time zone 'UTC')::date), 0),
       extract(epoch from date_trunc('day', now() at time zone 'UTC') + interval '1 day' - now() at time zone 'UTC')::double precision
