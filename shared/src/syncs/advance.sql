-- syncs.advance: forward only; each move is noted
with old as (
    select query_key, entry_watermark as entry, modification_watermark as modification
    from sync_queries
    where query_key = $1
      and (entry_watermark is null or entry_watermark < $2
           or modification_watermark is null or modification_watermark < $2)
    for update
),
moved as (
    update sync_queries q
    set entry_watermark = greatest(q.entry_watermark, $2), modification_watermark = greatest(q.modification_watermark, $2)
    from old
    where q.query_key = old.query_key
)
insert into sync_watermark_moves (query_key, field, job_id, old, new, moved_by)
select query_key, 'entry', $3, entry, $2, 'run' from old where entry is null or entry < $2
union all
select query_key, 'modification', $3, modification, $2, 'run' from old where modification is null or modification < $2
