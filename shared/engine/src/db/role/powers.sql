-- db.powers: what a role may do beyond reading and writing rows, by itself or through roles that it is a member of
select coalesce(string_agg(distinct power, ', '), '')
from (
    select case
        when r.rolsuper then 'it is a superuser'
        when r.rolcreaterole then 'it may create roles'
        when r.rolcreatedb then 'it may create databases'
        when r.rolreplication then 'it may replicate'
        when r.rolbypassrls then 'it passes row security'
        when r.rolname = current_user then 'it may act as the owner'
        when r.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                           'pg_write_all_data', 'pg_database_owner', 'rds_superuser')
            then 'it is a member of ' || r.rolname
    end as power
    from pg_roles r where pg_has_role($1::name, r.oid, 'member')
    union all
    select 'it owns tables or functions of the schema'
    where exists (select from pg_class c join pg_roles r on r.oid = c.relowner
                  where c.relnamespace = current_schema()::regnamespace and r.rolname = $1::name)
       or exists (select from pg_proc p join pg_roles r on r.oid = p.proowner
                  where p.pronamespace = current_schema()::regnamespace and r.rolname = $1::name)
    union all
    select 'it may create in the schema ' || current_schema()
           || ' (its owner takes that away: revoke create on schema ' || current_schema() || ' from public)'
    where has_schema_privilege($1::name, current_schema(), 'create')
    union all
    select 'it may create schemas in the database'
    where has_database_privilege($1::name, current_database(), 'create')
) as powers
where power is not null
