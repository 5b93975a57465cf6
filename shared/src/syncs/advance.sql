-- syncs.advance: each watermark forward only, and none into the future; each move is noted. Returns whether one was to
-- move into the future
with old as (
    select query_key, entry_watermark, modification_watermark, creation_watermark
    from sync_queries
    where query_key = $1
    for update
),
wanted as (
    select query_key, field, was, becomes
    from old
    cross join lateral (values ('entry', entry_watermark, $2::timestamptz),
                               ('modification', modification_watermark, $3::timestamptz),
                               ('creation', creation_watermark, $4::timestamptz)) as m (field, was, becomes)
    where becomes is not null
),
future as (
    insert into clock_corrections (what, name, was, set_to)
    select 'sync_runs.plan', query_key, becomes, was from wanted
    where becomes > clock_timestamp() + interval '1 minute'
    returning 1
),
moves as (
    select * from wanted
    where becomes <= clock_timestamp() + interval '1 minute' and (was is null or was < becomes)
),
moved as (
    update sync_queries q
    set entry_watermark = coalesce((select becomes from moves where field = 'entry'), q.entry_watermark),
        modification_watermark =
            coalesce((select becomes from moves where field = 'modification'), q.modification_watermark),
        creation_watermark = coalesce((select becomes from moves where field = 'creation'), q.creation_watermark)
    from old
    where q.query_key = old.query_key and exists (select from moves)
),
noted as (
    insert into sync_watermark_moves (query_key, field, job_id, old, new, moved_by)
    select query_key, field, $5, was, becomes, 'run' from moves
)
select exists (select from future)
