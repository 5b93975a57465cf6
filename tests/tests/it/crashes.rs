//! A process killed at every step of archiving a batch, by Ctrl-C, or at a random moment; the next command resumes, and
//! the result is that of an undisturbed run.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use samples::files::{FileWriter, Sample, write_sample};
use samples::record::Record;
use serde_json::Value;
use tests::invariants;
use tests::program::{Archive, text};

/// Every point where the program can be killed; some are passed more than once.
const POINTS: [&str; 16] = [
    "after_claim:1",
    "after_start:1",
    "after_claim:2",
    "after_start:2",
    "before_put:1",
    "after_put:1",
    "in_transaction:1",
    "after_commit:1",
    "before_put:2",
    "after_put:2",
    "in_transaction:2",
    "after_commit:2",
    "after_part:1",
    "after_run:1",
    "after_run:2",
    "after_manifest:1",
];

/// The contents of an archive, without timestamps and object addresses of attempts.
type Contents = Vec<(String, Option<String>, i32, i64, i64)>;

async fn contents(archive: &Archive) -> Contents {
    sqlx::query_as(
        "select a.pmid, a.content_hash, a.record_version, a.position, \
                (select count(*) from archive_events e where e.pmid = a.pmid) \
         from pubmed_archive a order by a.pmid",
    )
    .fetch_all(&archive.database().await)
    .await
    .expect("readable")
}

fn sample(dir: &Path) -> Sample {
    write_sample(dir, 150).expect("written")
}

/// Batches of fifty, so that every step happens several times.
const SMALL: (&str, &str) = ("BIO_MCP_BATCH_RECORDS", "50");

async fn killed_at(point: &str, sample: &Sample, expected: &Contents) {
    let archive = Archive::new().await;
    archive.ingest(&sample.update);
    let mut child = archive.start(&["ingest", text(&sample.baseline)], &[SMALL, ("BIO_MCP_CRASH_AT", point)]);
    let status = child.wait().expect("ends");
    assert_eq!(status.signal(), Some(9), "{point} is passed");
    let began = Instant::now();
    let mut again = archive.command(&["--output", "json", "ingest", text(&sample.baseline)]);
    let run = tests::program::Run::from(again.envs([SMALL]).output().expect("runs")).expect(0);
    assert!(began.elapsed() < Duration::from_secs(5), "{point}: taken over at once, not after the lease");
    let result = run.json();
    let n = i64::try_from(sample.baseline_records).expect("small");
    assert_eq!(result["requested"], n, "{point}: every record has one outcome");
    assert_eq!(&contents(&archive).await, expected, "{point}");
    assert_eq!(invariants::broken(&archive.database().await).await, Vec::<String>::new(), "{point}");
    archive.run(&["verify"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_the_next_run_ends_in_the_same_state() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sample = sample(dir.path());
    let undisturbed = Archive::new().await;
    undisturbed.ingest(&sample.update);
    undisturbed.ingest(&sample.baseline);
    let expected = contents(&undisturbed).await;
    for point in POINTS {
        killed_at(point, &sample, &expected).await;
    }
}

fn large(dir: &Path, records: u32) -> PathBuf {
    let path = dir.join("pubmed26n0009.xml.gz");
    let mut file = FileWriter::create(&path, 1).expect("created");
    for n in 1..=records {
        file.record(&Record::new(n, 0).xml()).expect("written");
    }
    file.finish(&[]).expect("finished");
    path
}

/// Waits until some batches are committed.
async fn under_way(db: &sqlx::PgPool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let committed: Result<i64, _> =
            sqlx::query_scalar("select count(*) from ingestion_unit_outcomes").fetch_one(db).await;
        if committed.is_ok_and(|n| n > 0) {
            return;
        }
        assert!(Instant::now() < deadline, "nothing was committed");
        tokio::task::yield_now().await;
    }
}

/// The newest job of the command line, without the catch-up jobs of the projections.
fn ingest_job(archive: &Archive) -> Value {
    let listed = archive.run(&["--output", "json", "jobs", "list"]).expect(0).json();
    let jobs = listed["jobs"].as_array().expect("jobs");
    jobs.iter().find(|job| job["tool"] == "pubmed.ingest_files").unwrap_or_else(|| panic!("{listed}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_ingest_releases_its_unit_and_resumes_later() {
    let archive = Archive::new().await;
    let file = large(archive.dir.path(), 3000);
    let child = archive.start(&["ingest", text(&file)], &[SMALL]);
    under_way(&archive.database().await).await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let stopped = child.wait_with_output().expect("ends");
    assert_eq!(stopped.status.code(), Some(130), "{stopped:?}");
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("nothing is lost"), "{stopped:?}");
    let db = archive.database().await;
    let claimed: i64 =
        sqlx::query_scalar("select count(*) from ingestion_work_units where status in ('claimed', 'processing')")
            .fetch_one(&db)
            .await
            .expect("counted");
    assert_eq!(claimed, 0, "the unit was handed back");
    let intents: i64 =
        sqlx::query_scalar("select count(*) from archive_intents").fetch_one(&db).await.expect("counted");
    assert_eq!(intents, 0, "batches that were prepared and not stored are named no longer");
    // Any worker can finish the job, not only the process that submitted it.
    archive.run(&["worker", "--once"]).expect(0);
    let job = ingest_job(&archive);
    assert_eq!((&job["state"], &job["result"]["requested"]), (&"succeeded".into(), &3000.into()));
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_again_and_again() {
    let archive = Archive::new().await;
    let file = large(archive.dir.path(), 2000);
    for _ in 0..4 {
        let mut child = archive.start(&["ingest", text(&file)], &[SMALL]);
        under_way(&archive.database().await).await;
        child.kill().expect("killed");
        child.wait().expect("ends");
    }
    let result = archive.ingest(&file);
    assert_eq!((&result["requested"], &result["failed"]), (&2000.into(), &0.into()));
    assert_eq!(invariants::broken(&archive.database().await).await, Vec::<String>::new());
    archive.run(&["verify"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_five_times_without_a_commit_the_same_command_still_finishes() {
    let archive = Archive::new().await;
    let file = large(archive.dir.path(), 60);
    for point in ["after_start:1", "after_start:1", "after_claim:1", "after_start:2", "before_put:1", "before_put:1"] {
        let mut child = archive.start(&["ingest", text(&file)], &[SMALL, ("BIO_MCP_CRASH_AT", point)]);
        assert_eq!(child.wait().expect("ends").signal(), Some(9), "{point} is passed");
    }
    let result = archive.ingest(&file);
    assert_eq!((&result["requested"], &result["failed"]), (&60.into(), &0.into()));
    assert_eq!(invariants::broken(&archive.database().await).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_four_times_inside_one_fetch_the_same_sync_still_finishes() {
    let mut corpus = simulator::Corpus::new(shared::syncs::ncbi_day(shared::core::clock::now()));
    for pmid in 1000..1020 {
        corpus.add(pmid, "asthma");
    }
    let ncbi = tests::sync::simulator(corpus, simulator::Options::default()).await;
    let archive = Archive::new().await;
    let url = ncbi.eutils_url();
    let environment = [("BIO_MCP_PUBMED_BASE_URL", url.as_str()), ("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000")];
    for _ in 0..4 {
        let killed = [&environment[..], &[("BIO_MCP_CRASH_AT", "before_put:1")]].concat();
        let mut child = archive.start(&["sync", "asthma", "--incremental"], &killed);
        assert_eq!(child.wait().expect("ends").signal(), Some(9));
    }
    let mut again = archive.command(&["--output", "json", "sync", "asthma", "--incremental"]);
    let run = tests::program::Run::from(again.envs(environment).output().expect("runs")).expect(0);
    assert_eq!((&run.json()["archived"], &run.json()["failed"]), (&20.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_lost_three_times_without_a_foreground_command_fails() {
    let archive = Archive::new().await;
    let file = large(archive.dir.path(), 20);
    archive.run(&["ingest", "--detach", text(&file)]).expect(0);
    for _ in 0..3 {
        let mut child = archive.start(&["worker", "--once"], &[("BIO_MCP_CRASH_AT", "after_start:1")]);
        assert_eq!(child.wait().expect("ends").signal(), Some(9));
    }
    archive.run(&["worker", "--once"]).expect(0);
    let job = ingest_job(&archive);
    assert_eq!(job["state"], "failed", "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_on_one_file_do_it_once() {
    let archive = Archive::new().await;
    let file = large(archive.dir.path(), 1500);
    archive.ingest(&large(&archive.dir.path().join("."), 1)); // creates the schema
    let file_again = file.clone();
    std::fs::rename(large(archive.dir.path(), 1500), &file).expect("renamed");
    let first = archive.start(&["--output", "json", "ingest", text(&file)], &[SMALL]);
    let second = archive.start(&["--output", "json", "ingest", text(&file_again)], &[SMALL]);
    for child in [first, second] {
        let run = tests::program::Run::from(child.wait_with_output().expect("ends")).expect(0);
        assert_eq!(run.json()["requested"], 1500, "{run:?}");
    }
    let db = archive.database().await;
    let events: i64 = sqlx::query_scalar("select count(*) from archive_events").fetch_one(&db).await.expect("counted");
    assert_eq!(events, 1500, "every record was accepted once");
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
}
