-- syncs.advance: forward only, and never into the future; each move is noted. Returns whether $2 lies in the future
with future as (
    insert into clock_corrections (what, name, was, set_to)
    select 'sync_runs.plan', $1, $2, entry_watermark from sync_queries
    where query_key = $1 and $2 > clock_timestamp() + interval '1 minute'
    returning 1
),
old as (
    select query_key, entry_watermark as entry, modification_watermark as modification
    from sync_queries
    where query_key = $1
      and $2 <= clock_timestamp() + interval '1 minute'
      and (entry_watermark is null or entry_watermark < $2
           or modification_watermark is null or modification_watermark < $2)
    for update
),
moved as (
    update sync_queries q
    set entry_watermark = greatest(q.entry_watermark, $2),
        modification_watermark = greatest(q.modification_watermark, $2)
    from old
    where q.query_key = old.query_key
),
noted as (
    insert into sync_watermark_moves (query_key, field, job_id, old, new, moved_by)
    select query_key, 'entry', $3, entry, $2, 'run' from old where entry is null or entry < $2
    union all
    select query_key, 'modification', $3, modification, $2, 'run' from old
    where modification is null or modification < $2
)
select exists (select from future)
