-- syncs.oldest_topic: seconds since the topic that was synced longest ago ended a run; nothing without topics
select extract(epoch from max(now() - coalesce(q.last_run_at, q.created_at)))::double precision
from sync_topics t
join sync_queries q using (query_key)
