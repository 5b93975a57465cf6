-- projections.unknown: records whose last payload could not be read
select count(*)
from (select distinct record_type, record_id from changes where integrity = 'unknown') as u
cross join lateral (
    select integrity from changes where record_type = u.record_type and record_id = u.record_id
    order by seq desc limit 1
) as last
where last.integrity = 'unknown'
