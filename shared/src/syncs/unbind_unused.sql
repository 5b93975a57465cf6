-- syncs.unbind_unused
delete from sync_queries q
where q.query_key = $1 and q.last_job_id is null and q.entry_watermark is null
  and not exists (select from sync_topics t where t.query_key = q.query_key)
  and not exists (select from query_members m where m.query_key = q.query_key)
  and not exists (select from jobs j where j.query_key = q.query_key and j.state in ('queued', 'running'))
