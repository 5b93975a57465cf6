-- db.grant: a role that may read and write every row and change no table
do $$
declare
    who text := current_setting('bio_mcp.role');
begin
    if not exists (select from pg_roles where rolname = who) then
        execute format('create role %I', who);
    end if;
    execute format('alter role %I with login password %L', who, current_setting('bio_mcp.password'));
    execute format('grant connect on database %I to %I', current_database(), who);
    execute format('grant usage on schema %I to %I', current_schema(), who);
    -- As it is from Postgres 15 on.
    execute format('revoke create on schema %I from public', current_schema());
    execute format('grant select, insert, update, delete on all tables in schema %I to %I', current_schema(), who);
    execute format('grant usage, select, update on all sequences in schema %I to %I', current_schema(), who);
    execute format('grant execute on all functions in schema %I to %I', current_schema(), who);
    execute format('revoke insert, update, delete on _sqlx_migrations from %I', who);
end
$$
