-- syncs.due_topics: slots are whole multiples of the interval since 1970
select query_key, query, priority, slot_at
from (select t.query_key, q.query, t.priority, t.last_slot_at,
             to_timestamp(floor(extract(epoch from now()) / t.every_secs) * t.every_secs) as slot_at
      from sync_topics t
      join sync_queries q using (query_key)) t
where last_slot_at is null or last_slot_at < slot_at
order by priority desc, query_key
