//! The demo in other environments: in a bucket, and against the configured NCBI.

use samples::files::FIRST;
use simulator::{Corpus, Options, Spread};
use tests::program::Archive;
use tests::sync::{day, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_works_in_a_bucket_by_environment_variables_alone() {
    let Some(endpoint) = tests::variable("BIO_MCP_TEST_AWS_ENDPOINT") else {
        eprintln!("SKIPPED: BIO_MCP_TEST_AWS_ENDPOINT names no AWS emulator: run `make test`");
        return;
    };
    let client = tests::s3::client(&endpoint);
    let bucket = tests::s3::new_bucket(&client, true).await;
    let archive = Archive::with_empty_database().await;
    let mut command = archive.command(&["demo"]);
    command
        .env("BIO_MCP_ARCHIVE_BUCKET", &bucket)
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let run: tests::program::Run = command.output().expect("starts").into();
    let run = run.expect(0);
    assert!(run.out.contains("no problems"), "{run:?}");
    assert!(run.out.contains(&format!("objects    s3://{bucket}/pubmed/demo-")), "{run:?}");
    let objects = client.list_objects_v2().bucket(&bucket).send().await.expect("listed");
    assert_eq!(objects.contents().len(), 1000, "a full page of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_demo_searches_and_syncs_what_is_configured() {
    let mut corpus = Corpus::generated(day("2026-03-10"), FIRST, 100, 1, Spread::Even(30));
    // The query names a publication type and a year; in the simulator every record contains these words.
    let bit = corpus.topic("retraction of publication");
    let other = corpus.topic("2025");
    for pmid in corpus.pmids().collect::<Vec<_>>() {
        let entry = corpus.entry(pmid).expect("there");
        entry.topics |= bit | other;
        entry.entered = day("2025-06-01");
    }
    let simulator = simulator(corpus, Options::default()).await;
    let archive = Archive::with_empty_database().await;
    let mut command = archive.command(&["demo", "--live"]);
    command.env("BIO_MCP_PUBMED_BASE_URL", simulator.eutils_url()).env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "100");
    let run: tests::program::Run = command.output().expect("starts").into();
    let run = run.expect(0);
    for words in ["20 archived", "20 skipped", "no problems"] {
        assert!(run.out.contains(words), "{words}: {run:?}");
    }
}
