//! Programs log in as a role that reads and writes rows and changes no table; migrations alone as the owner.
//! The deployed functions: `functions_work_as_a_role_that_owns_nothing`.

use samples::files::write_sample;
use serde_json::json;
use shared::config::Secret;
use shared::db::{self, DatabaseRole, DbError};
use simulator::{Corpus, Options};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tests::program::{Archive, Run, text};
use tests::roles::assert_confined;
use tests::serving::{Running, client};
use tests::sync::{day, simulator};

/// Users of the sessions that programs have at this server, other than the asking session.
async fn users(owner: &PgPool) -> Vec<String> {
    let sql = "select distinct usename::text from pg_stat_activity where application_name = 'bio-mcp' \
               and datname = current_database() order by 1";
    sqlx::query_scalar(sql).fetch_all(owner).await.expect("read")
}

/// All kinds of work: files, syncs, topics, jobs over HTTP, checkpoints, repairs, deletions.
async fn all_programs_work(archive: &Archive, variables: &[(&str, &str)], owner: &PgPool) {
    let mut corpus = Corpus::new(day("2026-03-10"));
    for pmid in 31_000_000..31_000_020 {
        corpus.add(pmid, "asthma");
    }
    let ncbi = simulator(corpus, Options::default()).await;
    let mut environment = variables.to_vec();
    let url = ncbi.eutils_url();
    environment.extend([("BIO_MCP_PUBMED_BASE_URL", url.as_str()), ("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "100")]);
    let run = |arguments: &[&str]| -> Run {
        let mut command = archive.command(arguments);
        command.envs(environment.iter().copied()).output().expect("runs").into()
    };
    let sample = write_sample(&archive.dir.path().join("sample"), 100).expect("written");
    run(&["ingest", text(&sample.baseline)]).expect(0);
    run(&["ingest", text(&sample.update)]).expect(0);
    run(&["sync", "asthma", "--incremental"]).expect(0);
    run(&["topics", "add", "asthma"]).expect(0);
    run(&["call", "corpus.checkpoint.create", r#"{"name": "today"}"#]).expect(0);
    let mut serve = archive.command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.envs(environment.iter().copied()).stdout(std::process::Stdio::piped());
    let mut serving = Running(serve.spawn().expect("starts"));
    let address = serving.address();
    let worker = archive.command(&["worker"]).envs(environment.iter().copied()).spawn().expect("starts");
    let working = Running(worker);
    let job = json!({ "tool": "pubmed.sync", "params": { "query": "asthma" } });
    let http = client();
    let submit = http.post(format!("{address}/v1/jobs")).header("content-type", "application/json");
    let job: serde_json::Value =
        serde_json::from_str(&submit.body(job.to_string()).send().await.expect("sent").text().await.expect("read"))
            .expect("JSON");
    let url = format!("{address}/v1/jobs/{}?wait=20", job["job_id"].as_str().unwrap_or_else(|| panic!("{job}")));
    let ended = async {
        loop {
            let job = http.get(&url).send().await.expect("sent").text().await.expect("read");
            // The long poll returns at every change of the job.
            if ["\"queued\"", "\"running\""].iter().all(|state| !job.contains(&format!("\"state\":{state}"))) {
                break job;
            }
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("the job ends");
    assert!(ended.contains("\"state\":\"succeeded\""), "{ended}");
    let logged_in = users(owner).await;
    assert!(!logged_in.is_empty() && !logged_in.contains(&"postgres".to_owned()), "{logged_in:?}");
    drop((serving, working));
    run(&["verify"]).expect(0);
    sqlx::raw_sql("delete from pubmed_archive where pmid = '31000001'; update corpus_digests set w1 = w1 + 1")
        .execute(owner)
        .await
        .expect("broken");
    run(&["verify", "--repair"]).expect(0);
    run(&["verify"]).expect(0);
    run(&["purge", "31000002", "--reason", "a test"]).expect(0);
    run(&["purge", "31000003", "--reason", "a test", "--versions"]).expect(0);
    run(&["export", "--out", text(&archive.dir.path().join("out.ndjson"))]).expect(0);
    run(&["status"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_the_private_postgres_change_no_table() {
    let archive = Archive::with_private_postgres();
    let url = archive.run(&["db", "start"]).expect(0).out.trim().to_owned();
    let options: PgConnectOptions = url.parse().expect("a URL");
    let owner = PgPool::connect_with(options.clone()).await.expect("the owner");
    all_programs_work(&archive, &[], &owner).await;
    assert_confined(options.clone().username("bio_mcp")).await;
    for other in ["postgres", "template1"] {
        let other = PgPool::connect_with(options.clone().username("bio_mcp").database(other)).await;
        assert!(other.is_err(), "it has no business in the server's other databases");
    }

    // The next command that migrates resets what the role set for itself, and adds the role to an older cluster.
    let own = PgPool::connect_with(options.clone().username("bio_mcp")).await.expect("it may log in");
    sqlx::raw_sql("alter role current_user set statement_timeout = 0").execute(&own).await.expect("Postgres lets it");
    own.close().await;
    let migrated = archive.run(&["--output", "json", "db", "migrate"]).expect(0).json();
    assert_eq!((&migrated["role"], &migrated["from"]), (&json!("bio_mcp"), &migrated["to"]), "{migrated}");
    assert_confined(options.clone().username("bio_mcp")).await;
    sqlx::raw_sql(
        "drop owned by bio_mcp; drop role bio_mcp; drop table program_roles; \
                   delete from _sqlx_migrations where version = 19",
    )
    .execute(&owner)
    .await
    .expect("as it was");
    archive.run(&["status"]).expect(0);
    assert_confined(options.clone().username("bio_mcp")).await;
    owner.close().await;
    archive.run(&["db", "stop"]).expect(0);
}

/// A Postgres of the user: `db migrate` as the owner, everything else as the role.
#[tokio::test(flavor = "multi_thread")]
async fn programs_of_another_postgres_change_no_table_where_a_role_is_named() {
    let archive = Archive::with_empty_database().await;
    let url = archive.url().expect("on the test server").to_owned();
    let options: PgConnectOptions = url.parse().expect("a URL");
    let name = format!("p_{}", uuid::Uuid::new_v4().simple());
    let role = json!({ "username": name, "password": "hunter2" }).to_string();
    let owner = archive.database().await;

    let with_role = [("BIO_MCP_DATABASE_ROLE", role.as_str())];
    let migrated: Run = archive.command(&["db", "migrate"]).envs(with_role).output().expect("runs").into();
    let migrated = migrated.expect(0);
    assert!(migrated.out.contains(&name) && !migrated.out.contains("hunter2"), "{migrated:?}");
    assert!(!archive.data_dir().exists(), "there is nothing to keep in one");
    // With owner and role in one environment, and with the role alone.
    all_programs_work(&archive, &with_role, &owner).await;
    let unknown = archive.with_url(&as_user(&url, "postgres", "not_a_role")).run(&["status"]).expect(4);
    assert!(unknown.err.contains("refused the user"), "{unknown:?}");
    let alone = archive.with_url(&as_user(&url, "postgres", &name));
    alone.run(&["status"]).expect(0);
    alone.run(&["verify"]).expect(0);
    assert_confined(options.username(&name)).await;

    sqlx::query("delete from _sqlx_migrations where version = 19").execute(&owner).await.expect("an older schema");
    let behind = alone.run(&["status"]).expect(4);
    assert!(behind.err.contains("older than this program") && behind.err.contains("db migrate"), "{behind:?}");
    owner.close().await;
}

/// The same URL with another user.
fn as_user(url: &str, was: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    assert!(rest.starts_with(&format!("{was}@")), "{url}");
    format!("{scheme}://{user}@{}", rest.split_once('@').expect("a user").1)
}

/// A role with more privileges is refused, and what was done for it is rolled back.
#[tokio::test]
async fn a_role_that_could_do_more_is_refused() {
    let pool = tests::engine::pool(2).await;
    let run = async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect("prepared");
    let role_of = |name: &str| {
        DatabaseRole::parse(&Secret::new(json!({ "username": name, "password": "x" }).to_string())).expect("a role")
    };
    for more in [
        "grant pg_execute_server_program to",
        "grant pg_read_server_files to",
        "grant postgres to",
        "alter function jobs_touch() owner to",
        "alter table purges owner to",
    ] {
        let name = format!("m_{}", uuid::Uuid::new_v4().simple());
        run(format!("create role {name}; {more} {name}")).await;
        let refused = db::grant(&pool, &role_of(&name)).await.expect_err(more);
        assert!(matches!(&refused, DbError::PowerfulRole { role, .. } if *role == name), "{more}: {refused}");
        let noted = "select count(*) from program_roles where role_name = $1";
        let noted: i64 = sqlx::query_scalar(noted).bind(&name).fetch_one(&pool).await.expect("counted");
        assert_eq!(noted, 0, "{more}");
        run(format!("reassign owned by {name} to postgres; drop owned by {name}; drop role {name}")).await;
    }
    // The attributes that a superuser can revoke are revoked.
    let name = format!("m_{}", uuid::Uuid::new_v4().simple());
    run(format!(
        "create role {name} superuser createdb createrole; grant all on all tables in schema public to {name}"
    ))
    .await;
    db::grant(&pool, &role_of(&name)).await.expect("granted");
    assert_confined(pool.connect_options().as_ref().clone().username(&name)).await;
    let error = db::grant(&pool, &role_of("postgres")).await.expect_err("that is the owner");
    assert!(shared::observability::chain(&error).contains("owner"), "{error}");
}

/// Statements and functions of the schema need no other privilege; preparing the role concurrently causes no conflict.
#[tokio::test(flavor = "multi_thread")]
async fn several_programs_may_make_the_role_at_the_same_time() {
    let archive = Archive::with_private_postgres();
    let children: Vec<_> = (0..4).map(|_| archive.start(&["topics", "list"], &[])).collect();
    for child in children {
        Run::from(child.wait_with_output().expect("ends")).expect(0);
    }
}
