-- records.summary: kept counts and short indexes, so that it takes the same time whatever the archive's size
select coalesce((select documents from corpus_digests where query_key = ''), 0) as live,
       c.deleted, c.payloads, c.events,
       (select accepted_at from archive_events order by seq desc limit 1) as last_change_at,
       (select count(*) from jobs where state = 'queued') as jobs_queued,
       (select count(*) from jobs where state = 'running') as jobs_running,
       (select count(*) from (select from quarantine limit 100000) q) as quarantined
from archive_counts c
