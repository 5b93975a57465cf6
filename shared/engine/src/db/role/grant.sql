-- db.grant: a role that may read and write rows and change no table. `rules` in Rust counts the versions of this text.
do $$
declare
    who text := current_setting('bio_mcp.role');
    password text := nullif(current_setting('bio_mcp.password'), '');
    one text;
    -- What is noted here stays as it was noted.
    only_added text[] := array['archive_events', 'purges', 'sync_watermark_moves', 'ingestion_job_logs'];
    -- Tables of one row, which is there for ever.
    one_row text[] := array['archive_event_counter', 'archive_counts'];
    -- What only migrations write.
    only_read text[] := array['_sqlx_migrations', 'program_roles'];
begin
    if who in (current_user, session_user) then
        raise exception 'the role % of the programs is the owner of the tables: name another', who;
    end if;
    if not exists (select from pg_roles where rolname = who) then
        execute format('create role %I', who);
    end if;
    execute format('alter role %I with login password %L', who, password);
    -- What was set for the role, also by itself, is undone.
    execute format('alter role %I reset all', who);
    execute format('alter role %I in database %I reset all', who, current_database());
    if (select rolsuper from pg_roles where rolname = current_user) then
        execute format('alter role %I with nosuperuser nocreatedb nocreaterole noreplication nobypassrls', who);
    end if;
    execute format('grant connect on database %I to %I', current_database(), who);
    execute format('revoke create, temporary on database %I from public', current_database());
    execute format('revoke create, temporary on database %I from %I', current_database(), who);
    -- As it is from Postgres 15 on.
    execute format('revoke create on schema %I from public', current_schema());
    execute format('revoke all on schema %I from %I', current_schema(), who);
    execute format('grant usage on schema %I to %I', current_schema(), who);
    execute format('revoke all on all tables in schema %I from %I', current_schema(), who);
    execute format('grant select, insert, update, delete on all tables in schema %I to %I', current_schema(), who);
    foreach one in array only_added loop
        execute format('revoke update, delete on %I from %I', one, who);
    end loop;
    foreach one in array one_row loop
        execute format('revoke insert, delete on %I from %I', one, who);
    end loop;
    foreach one in array only_read loop
        execute format('revoke insert, update, delete on %I from %I', one, who);
    end loop;
    execute format('revoke all on all sequences in schema %I from %I', current_schema(), who);
    execute format('grant usage, select on all sequences in schema %I to %I', current_schema(), who);
    execute format('grant execute on all functions in schema %I to %I', current_schema(), who);
end
$$
