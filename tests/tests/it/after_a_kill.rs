//! What `verify` and `status` report between a kill and the next run, and beside live workers.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use samples::files::write_sample;
use serde_json::Value;
use tests::program::{Archive, text};
use tests::serving::Running;

/// An archive with one ingested file.
async fn written() -> Archive {
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 100).expect("written");
    archive.ingest(&sample.baseline);
    archive
}

/// An archive with a job that was killed after it stored the objects of its first batch, and the file of the job.
async fn killed() -> (Archive, std::path::PathBuf) {
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 150).expect("written");
    let environment = [("BIO_MCP_BATCH_RECORDS", "50"), ("BIO_MCP_CRASH_AT", "after_put:1")];
    let status = archive.start(&["ingest", text(&sample.baseline)], &environment).wait().expect("ends");
    assert_eq!(status.signal(), Some(9));
    (archive, sample.baseline)
}

fn workers(archive: &Archive) -> Value {
    archive.run(&["--output", "json", "status"]).expect(0).json()["workers"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_a_job_has_not_committed_yet_are_no_problem() {
    let (archive, file) = killed().await;
    let db = archive.database().await;
    let job: uuid::Uuid = sqlx::query_scalar("select id from jobs").fetch_one(&db).await.expect("one job");
    let found = archive.run(&["--output", "json", "verify"]).expect(0).json();
    assert_eq!(found["report"]["problem_count"], 0, "{found}");
    assert_eq!(found["report"]["unfinished"][job.to_string()], 50, "{found}");
    let run = archive.run(&["verify"]).expect(0);
    assert!(run.out.contains("no problems") && run.out.contains("unfinished: 50 objects"), "{run:?}");
    assert!(run.out.contains(&format!("job {job}")), "{run:?}");

    // Objects that changed since, and those of a failed unit, are problems: they are not the intended ones.
    let first = "select pmids[1] from archive_intents order by id limit 1";
    let pmid: i32 = sqlx::query_scalar(first).fetch_one(&db).await.expect("an intent");
    let object = archive.object(u32::try_from(pmid).expect("a PMID"));
    let bytes = std::fs::read(&object).expect("there");
    std::fs::write(&object, [&bytes[..], b"x"].concat()).expect("written");
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert_eq!(found["report"]["problem_count"], 1, "{found}");
    let detail = found["report"]["problems"][0]["detail"].as_str().expect("a text");
    assert!(detail.contains("an object without a pointer") && !detail.contains("other"), "{found}");
    std::fs::write(&object, bytes).expect("written");

    archive.ingest(&file);
    let found = archive.run(&["--output", "json", "verify"]).expect(0).json();
    assert_eq!(found["report"]["unfinished"], serde_json::json!({}), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_unit_that_was_given_up_are_problems() {
    let (archive, _) = killed().await;
    let db = archive.database().await;
    let sql = "update ingestion_work_units set status = 'failed', error_code = 'INTERNAL' where status <> 'completed'";
    sqlx::query(sql).execute(&db).await.expect("given up");
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert_eq!(found["report"]["problem_count"], 50, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_are_counted_and_dead_ones_are_not() {
    let (archive, file) = killed().await;
    // It holds a unit, and its process is dead.
    assert_eq!(workers(&archive), 0);
    archive.run(&["verify", "--repair"]).expect(0);
    archive.ingest(&file);

    let mut idle = Running(archive.start(&["worker"], &[]));
    let deadline = Instant::now() + Duration::from_secs(30);
    while workers(&archive) != 1 {
        assert!(Instant::now() < deadline, "a worker without a unit is one");
    }
    let run = archive.run(&["verify", "--repair"]).expect(2);
    assert!(run.err.contains("1 worker is running"), "{run:?}");
    idle.0.kill().expect("killed");
    idle.0.wait().expect("ends");
    assert_eq!(workers(&archive), 0);
    archive.run(&["verify", "--repair"]).expect(0);
    // The next worker removes its lock file, by which it was known to be dead, and its row.
    archive.run(&["worker", "--once"]).expect(0);
    assert_eq!(std::fs::read_dir(archive.data_dir().join("workers")).expect("there").count(), 0);
    assert_eq!(workers(&archive), 0);
}

/// Runs the program on the same database with a separate data directory: it sees none of the other's lock files.
fn elsewhere(archive: &Archive, dir: &Path, arguments: &[&str]) -> Running {
    let inner = archive.command(arguments);
    let mut command = Command::new(inner.get_program());
    command.arg("--data-dir").arg(dir).args(arguments).current_dir(archive.dir.path());
    command.env("BIO_MCP_DATABASE_URL", archive.url().expect("on the test server"));
    // An MCP client keeps the input open.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().expect("the program starts"))
}

fn until_one_works(archive: &Archive, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while workers(archive) == 0 {
        assert!(Instant::now() < deadline, "a worker without a unit is one: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_of_another_machine_is_counted_until_it_ends() {
    let archive = written().await;
    let other = tempfile::tempdir().expect("a temporary directory");
    for arguments in [&["worker"][..], &["up", "--listen", "127.0.0.1:0"], &["mcp"]] {
        let idle = elsewhere(&archive, &other.path().join("data"), arguments);
        until_one_works(&archive, arguments[0]);
        let run = archive.run(&["verify", "--repair"]).expect(2);
        let place = format!("on {}", shared::core::host::name());
        assert!(run.err.contains("running (") && run.err.contains(&place), "{arguments:?}: {run:?}");
        assert_eq!(idle.end("-TERM"), Some(0), "{arguments:?}");
        assert_eq!(workers(&archive), 0, "{arguments:?}: it has said that it ended");
    }
    archive.run(&["verify", "--repair"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_idle_worker_of_another_machine_is_counted_until_it_is_stale() {
    let archive = written().await;
    let other = tempfile::tempdir().expect("a temporary directory");
    let mut idle = elsewhere(&archive, &other.path().join("data"), &["worker"]);
    until_one_works(&archive, "worker");
    idle.0.kill().expect("killed");
    idle.0.wait().expect("ends");
    assert_eq!(workers(&archive), 1, "it may only be silent");
    let run = archive.run(&["verify", "--repair"]).expect(2);
    assert!(run.err.contains("1 worker is running (1 on ") && run.err.contains("120 s"), "{run:?}");

    // It died while a clock was ahead: it counts as silent from the first check on.
    let db = archive.database().await;
    let seen = async |change: &'static str| {
        sqlx::query(change).execute(&db).await.expect("written");
    };
    seen("update ingestion_workers set seen_at = now() + interval '1 year'").await;
    archive.run(&["verify", "--repair"]).expect(2);
    seen("update ingestion_workers set seen_at = seen_at - interval '3 minutes'").await;
    assert_eq!(workers(&archive), 0);
    archive.run(&["verify", "--repair"]).expect(0);
    let told = archive.run(&["--output", "json", "status"]).expect(0).json()["clock_corrections"].clone();
    assert_eq!(told[0]["what"], "ingestion_workers.seen_at", "{told}");

    seen("update ingestion_workers set seen_at = seen_at - interval '2 days'").await;
    archive.run(&["worker", "--once"]).expect(0);
    let rows: i64 = sqlx::query_scalar("select count(*) from ingestion_workers").fetch_one(&db).await.expect("counted");
    assert_eq!(rows, 0, "a sweep removes it, and the worker that swept has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_machine_is_counted_while_its_heartbeat_is_fresh() {
    let (archive, _) = killed().await;
    let db = archive.database().await;
    let heard = async |secs_ago: f64| {
        let sql = "update ingestion_work_units set worker_id = 'elsewhere', worker_hostname = 'elsewhere', \
                   heartbeat_at = now() - make_interval(secs => $1) where status in ('claimed', 'processing')";
        assert_eq!(sqlx::query(sql).bind(secs_ago).execute(&db).await.expect("written").rows_affected(), 1);
    };
    heard(10.0).await;
    assert_eq!(workers(&archive), 1);
    archive.run(&["verify", "--repair"]).expect(2);
    heard(600.0).await;
    assert_eq!(workers(&archive), 0);
    archive.run(&["verify", "--repair"]).expect(0);
}
