-- Roles that programs log in as: by which rules each was last granted its privileges (`db.grant`), on which schema. Such a
-- role reads this table and cannot write it.
create table program_roles (
    role_name      text primary key,
    rules          integer not null,
    schema_version bigint not null
);

-- As before, without a temporary table: programs create no table of any kind.
create or replace function corpus_recount() returns bigint language plpgsql as $$
declare
    wrong bigint;
begin
    perform from archive_event_counter for update;
    with counted as materialized (select * from corpus_counted()),
    gone as (
        delete from corpus_digests d where not exists (select from counted r where r.query_key = d.query_key)
            and (d.documents, d.w1, d.w2, d.w3, d.w4) is distinct from (0, 0, 0, 0, 0)
        returning 1
    ),
    put as (
        insert into corpus_digests as d select * from counted
        on conflict (query_key) do update
        set documents = excluded.documents, w1 = excluded.w1, w2 = excluded.w2, w3 = excluded.w3, w4 = excluded.w4
        where (d.documents, d.w1, d.w2, d.w3, d.w4)
              is distinct from (excluded.documents, excluded.w1, excluded.w2, excluded.w3, excluded.w4)
        returning 1
    )
    select (select count(*) from gone) + (select count(*) from put) into wrong;
    return wrong;
end
$$;
