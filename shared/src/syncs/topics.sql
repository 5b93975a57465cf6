-- syncs.topics
select t.query_key, q.query, t.every_secs, t.priority, t.last_slot_at, q.last_success_at, q.failed_runs,
       q.failed_at, q.failure_code, q.failure_message,
       topic_retry_at(q.failed_at, q.failed_runs, t.every_secs) as next_try_at
from sync_topics t
join sync_queries q using (query_key)
order by t.query_key
