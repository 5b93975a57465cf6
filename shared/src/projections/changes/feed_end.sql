-- projections.feed_end: numbers behind the last event are memberships, which are read with the feed
select c.last_seq, coalesce(p.seq, 0) as seq,
       not exists (select from archive_events where seq > coalesce(p.seq, 0)) as is_current
from archive_event_counter c left join projections p on p.name = $1
