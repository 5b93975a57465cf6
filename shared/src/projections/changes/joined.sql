-- projections.joined: records that became members of a query, in their states at that time, if they existed; all of
-- them, or only those whose payload states a problem
select m.first_seq as seq, $4::text as record_type, m.pmid as record_id, s.kind, s.content_hash, s.accepted_at,
       s.integrity, s.details
from query_members m
cross join lateral (
    select c.kind, c.integrity, c.details, e.content_hash, e.accepted_at
    from changes c join archive_events e on e.seq = c.seq
    where c.record_type = $4 and c.record_id = m.pmid and c.seq <= m.first_seq
    order by c.seq desc limit 1
) as s
where m.query_key = $1 and m.first_seq > $2 and m.first_seq <= $3 and s.kind <> 'deleted'
  and ($6 or s.integrity not in ('ok', 'unknown'))
order by m.first_seq
fetch first ($5) rows with ties
