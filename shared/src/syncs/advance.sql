-- syncs.advance: each forward only; each move is noted
with old as (
    select query_key, entry_watermark, modification_watermark, creation_watermark
    from sync_queries
    where query_key = $1
      and (coalesce(entry_watermark < $2, $2 is not null)
           or coalesce(modification_watermark < $3, $3 is not null)
           or coalesce(creation_watermark < $4, $4 is not null))
    for update
),
moved as (
    update sync_queries q
    set entry_watermark = greatest(q.entry_watermark, $2),
        modification_watermark = greatest(q.modification_watermark, $3),
        creation_watermark = greatest(q.creation_watermark, $4)
    from old
    where q.query_key = old.query_key
)
insert into sync_watermark_moves (query_key, field, job_id, old, new, moved_by)
select query_key, field, $5, was, becomes, 'run'
from old
cross join lateral (values ('entry', entry_watermark, $2),
                           ('modification', modification_watermark, $3),
                           ('creation', creation_watermark, $4)) as m (field, was, becomes)
where becomes is not null and (was is null or was < becomes)
