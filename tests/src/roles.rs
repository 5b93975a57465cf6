//! What the role that programs log in as must not be able to do.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};

/// Statements that the role is refused because it lacks a privilege.
pub const FORBIDDEN: [&str; 60] = [
    "create table t ()",
    "create temporary table t ()",
    "create unlogged table t ()",
    "create table t as select 1",
    "create schema s",
    "create view v as select 1",
    "create sequence s",
    "create type e as enum ('a')",
    "create function f() returns int language sql as 'select 1'",
    "create or replace function jobs_touch() returns trigger language plpgsql as $$ begin return null; end $$",
    "create index on jobs (state)",
    "create trigger x before update on jobs for each row execute function jobs_touch()",
    "create rule r as on delete to archive_events do instead nothing",
    "create role r",
    "create database d",
    "create event trigger e on ddl_command_end execute function jobs_touch()",
    "do $$ begin execute 'create table t ()'; end $$",
    "alter table jobs add x int",
    "alter table jobs disable trigger all",
    "alter table jobs disable trigger jobs_touch",
    "alter table archive_events owner to current_user",
    "alter table jobs alter column state drop not null",
    "alter function jobs_touch() security definer",
    "alter sequence ingestion_job_logs_id_seq restart",
    "alter role current_user superuser",
    "alter role current_user createrole",
    "alter role postgres password 'x'",
    "alter system set work_mem = '1GB'",
    "drop table jobs",
    "drop table jobs cascade",
    "drop view monitoring_jobs",
    "drop trigger jobs_touch on jobs",
    "drop function jobs_touch() cascade",
    "drop schema public cascade",
    "truncate archive_events",
    "truncate jobs cascade",
    "truncate pubmed_archive, pubmed_archive_history",
    "update archive_events set pmid = '1'",
    "delete from archive_events",
    "delete from archive_event_counter",
    "insert into archive_event_counter (only_row, last_seq) values (true, 0)",
    "update purges set reason = ''",
    "delete from purges",
    "update ingestion_job_logs set message = ''",
    "delete from _sqlx_migrations",
    "update _sqlx_migrations set checksum = ''",
    "update program_roles set rules = 1000",
    "delete from program_roles",
    "select setval('ingestion_job_logs_id_seq', 1)",
    "set session_replication_role = replica",
    "set role postgres",
    "copy jobs to program 'true'",
    "copy jobs from program 'true'",
    "copy jobs to '/tmp/jobs'",
    "copy (select 1) to program 'true'",
    "select * from pg_authid",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "do $$ begin lock table archive_events in access exclusive mode; end $$",
];

/// Fails the test unless a connection of this role is refused all of [`FORBIDDEN`], and its statements have limits.
pub async fn assert_confined(as_role: PgConnectOptions) {
    let pool = PgPool::connect_with(as_role).await.expect("it may log in");
    for sql in FORBIDDEN {
        let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect_err(sql);
        let code = refused.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
    }
    for sql in ["create extension hstore", "create extension file_fdw", "create extension dblink"] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect_err(sql);
    }
    for limit in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"] {
        let limited: String =
            sqlx::query_scalar("select current_setting($1)").bind(limit).fetch_one(&pool).await.expect("read");
        assert_ne!(limited, "0", "{limit} is one of the role's");
    }
    pool.close().await;
}
