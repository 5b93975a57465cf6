-- syncs.add_members: those that are not members yet, at most $3 per number of the event log
with new as materialized (
    select pmid, (row_number() over (order by pmid) - 1) / $3 as n
    from unnest($2::text[]) as t (pmid)
    where not exists (select from query_members m where m.query_key = $1 and m.pmid = t.pmid)
), number as (
    update archive_event_counter set last_seq = last_seq + (select max(n) + 1 from new)
    where exists (select from new)
    returning last_seq - (select max(n) from new) as first
)
insert into query_members (query_key, pmid, first_seq)
select $1, pmid, first + n from new cross join number order by pmid
on conflict do nothing
