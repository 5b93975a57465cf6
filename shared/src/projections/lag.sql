-- projections.lag: a log that was rebuilt begins far above the numbers of the lost one, which do not count
select n.name, coalesce(p.seq, 0) as seq, c.last_seq, p.rebuilt_seq, p.updated_at, p.rules, n.own_rules,
       log.first_event, log.last_event,
       case when next.seq is null then 0 else c.last_seq - next.seq + 1 end as events_behind,
       greatest(coalesce(extract(epoch from clock_timestamp() - next.accepted_at), 0), 0)::double precision as seconds_behind,
       greatest(coalesce(extract(epoch from clock_timestamp() - case
           when next.seq is null and p.rebuilt_seq is null then null
           else greatest(next.accepted_at, case when p.updated_at < clock_timestamp() + interval '1 minute' then p.updated_at end)
           end), 0), 0)::double precision as stalled_seconds
from unnest($1::text[], $2::integer[]) with ordinality as n (name, own_rules, n)
cross join archive_event_counter c
cross join (select min(seq) as first_event, max(seq) as last_event from archive_events) as log
left join projections p on p.name = n.name
left join lateral (
    select seq, accepted_at from archive_events where seq > coalesce(p.seq, 0) order by seq limit 1
) as next on true
order by n.n
