-- syncs.due_topics: slots are whole multiples of the interval since 1970; one whose run failed is due again later
select query_key, query, priority, slot_at,
       case when last_slot_at = slot_at then failed_at end as failed_at
from (select t.query_key, q.query, t.priority, t.last_slot_at, q.failed_at,
             topic_retry_at(q.failed_at, q.failed_runs, t.every_secs) as retry_at,
             to_timestamp(floor(extract(epoch from now()) / t.every_secs) * t.every_secs) as slot_at
      from sync_topics t
      join sync_queries q using (query_key)) t
where last_slot_at is null or last_slot_at < slot_at or retry_at <= now()
order by priority desc, query_key
