-- syncs.bind: binds a key that is free; returns what it is bound to
with new as (
    insert into sync_queries (query_key, query, principal) values ($1, $2, $3) on conflict do nothing
    returning query, principal
)
select query, principal, true as is_new from new
union all
select query, principal, false from sync_queries where query_key = $1 and not exists (select from new)
