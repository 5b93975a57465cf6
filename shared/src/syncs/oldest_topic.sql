-- syncs.oldest_topic: seconds since the last success of the topic whose last success is longest ago; nothing without
-- topics
select extract(epoch from max(now() - greatest(q.last_success_at, q.created_at)))::double precision
from sync_topics t
join sync_queries q using (query_key)
