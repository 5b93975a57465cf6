-- projections.joined: records that came to belong to a query, as they were then, if they were there
select m.first_seq as seq, $4::text as record_type, m.pmid as record_id, s.kind, e.content_hash, e.accepted_at,
       s.integrity, s.details
from query_members m
cross join lateral (
    select seq, kind, integrity, details from changes
    where record_type = $4 and record_id = m.pmid and seq <= m.first_seq
    order by seq desc limit 1
) as s
join archive_events e on e.seq = s.seq
where m.query_key = $1 and m.first_seq > $2 and m.first_seq <= $3 and s.kind <> 'deleted'
order by m.first_seq
fetch first ($5) rows with ties
