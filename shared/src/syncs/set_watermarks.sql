-- syncs.set_watermarks
with old as (
    select query_key, entry_watermark as entry, modification_watermark as modification, creation_watermark as creation
    from sync_queries
    where query_key = $1
      and not exists (select from jobs where exclusive_key = $1 and state in ('queued', 'running'))
    for update
),
moved as (
    update sync_queries q
    set entry_watermark = $2, modification_watermark = $2, creation_watermark = $2, resume = null
    from old
    where q.query_key = old.query_key
),
noted as (
    insert into sync_watermark_moves (query_key, field, old, new, moved_by)
    select query_key, 'entry', entry, $2, $3 from old
    union all
    select query_key, 'modification', modification, $2, $3 from old
    union all
    select query_key, 'creation', creation, $2, $3 from old
)
select count(*) from old
