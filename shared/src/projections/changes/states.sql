-- projections.states: the last change of each record up to a number; where its payload could not be read, what was known
-- before. A change without an event is of a log that was lost
select t.record_type, t.record_id, c.kind, c.integrity, c.details, e.content_hash,
       k.integrity as known, k.details as known_details
from unnest($1::text[], $2::text[]) as t (record_type, record_id)
cross join lateral (
    select seq, kind, integrity, details from changes
    where record_type = t.record_type and record_id = t.record_id and seq <= $3
    order by seq desc limit 1
) as c
join archive_events e on e.seq = c.seq
left join lateral (
    select integrity, details from changes
    where record_type = t.record_type and record_id = t.record_id and seq < c.seq
      and integrity is distinct from 'unknown'
    order by seq desc limit 1
) as k on c.integrity = 'unknown'
