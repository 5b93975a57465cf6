//! Commands that call NCBI, run as a user would, against a simulator.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::{Corpus, Entry, Fault, Listed, Options, Simulator, Spread};
use tests::program::{Archive, Run};
use tests::sync::{day, simulator};

async fn upstream(count: u32, options: Options) -> Simulator {
    let today = shared::syncs::ncbi_day(shared::core::clock::now());
    simulator(Corpus::generated(today, 1000, count, 1, Spread::Even(30)), options).await
}

struct Cli {
    archive: Archive,
    base_url: String,
    more: Vec<(&'static str, String)>,
}

impl Cli {
    async fn new(simulator: &Simulator) -> Self {
        let more = vec![
            ("BIO_MCP_PUBMED_EMAIL", "tests@example.org".to_owned()),
            ("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000".to_owned()),
        ];
        Self { archive: Archive::new().await, base_url: simulator.eutils_url(), more }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.archive.command(arguments);
        command.env("BIO_MCP_PUBMED_BASE_URL", &self.base_url);
        command.env("BIO_MCP_PUBMED_FILES_URL", self.base_url.replace("/entrez/eutils/", "/pubmed/"));
        command.envs(self.more.iter().map(|(name, value)| (name, value)));
        command.output().expect("the program starts").into()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[&["--output", "json"], arguments].concat()).expect(0).json()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_reports_its_outcomes_and_status_its_progress() {
    let simulator = upstream(60, Options::default()).await;
    let cli = Cli::new(&simulator).await;
    let searched = cli.json(&["search", "all", "--limit", "3"]);
    assert_eq!((&searched["total_count"], &searched["returned_count"]), (&60.into(), &3.into()));
    let nothing = cli.run(&["search", "nothinglikeit"]).expect(0);
    assert!(
        nothing.err.contains("0 records") && nothing.err.contains("phrase not found: nothinglikeit"),
        "{nothing:?}"
    );
    let planned = cli.json(&["sync", "all", "--dry-run"]);
    assert_eq!(planned["estimate"]["hits"], 60);
    let status = cli.json(&["status"]);
    assert_eq!(
        (&status["live"], status["queries"].as_array().map(Vec::len)),
        (&0.into(), Some(0)),
        "a dry run writes nothing"
    );
    let first = cli.json(&["sync", "all", "--incremental", "--query-key", "everything"]);
    assert_eq!((&first["archived"], &first["query_key"]), (&60.into(), &"everything".into()));
    let again = cli.json(&["sync", "--incremental", "--query-key", "everything", "--overlap-days", "0"]);
    assert_eq!((&again["archived"], &again["failed"]), (&0.into(), &0.into()));
    let status = cli.json(&["status"]);
    assert_eq!(status["queries"][0]["query_key"], "everything");
    assert!(status["queries"][0]["lag_secs"].as_i64().expect("a lag") < 600, "{status}");
    let shown = cli.run(&["status"]).expect(0);
    assert!(shown.out.contains("everything") && shown.out.contains("0 min"), "{}", shown.out);
    let one = cli.json(&["sync", "--pmids", "1001,1002", "7"]);
    assert_eq!((&one["skipped"], &one["missing"]), (&2.into(), &1.into()));
    let listed = cli.json(&["jobs", "list"]);
    let job = listed["jobs"][0]["job_id"].as_str().expect("an id").to_owned();
    let logs = cli.json(&["jobs", "logs", &job]);
    let messages: Vec<&str> =
        logs["logs"].as_array().expect("lines").iter().filter_map(|l| l["message"].as_str()).collect();
    assert_eq!(messages, ["planned", "planned", "succeeded"]);
    let failures = cli.json(&["jobs", "failures", &job]);
    assert_eq!((&failures["total"], &failures["failures"][0]["pmid"]), (&1.into(), &"7".into()));
    // Missing records are requested again; if none is missing, there is nothing to retry.
    let retried = cli.run(&["--output", "json", "jobs", "retry", &job]).expect(0).json();
    assert_eq!((&retried["requested"], &retried["missing"]), (&1.into(), &1.into()), "{retried}");
    let fine = again["job_id"].as_str().expect("an id");
    let nothing = cli.run(&["jobs", "retry", fine]).expect(2);
    assert!(nothing.err.contains("nothing failed"), "{}", nothing.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_what_ncbi_counts_and_what_does_not_add_up() {
    let simulator = upstream(30, Options::default()).await;
    let cli = Cli::new(&simulator).await;
    let empty = cli.run(&["sync", "nothinglikeit", "--incremental", "--query-key", "none"]).expect(5);
    assert!(empty.out.contains("the whole query: 0 counted, 0 listed: NCBI found nothing"), "{}", empty.out);
    assert!(!empty.out.contains("up to date"), "{}", empty.out);
    cli.run(&["sync", "all", "--incremental", "--query-key", "k"]).expect(0);
    let shown = cli.run(&["status"]).expect(0);
    assert!(shown.out.contains("at NCBI") && shown.out.contains("whole query"), "{}", shown.out);
    simulator.corpus().entry(1000).expect("there").listed = Listed::Never;
    let short = cli.run(&["sync", "--incremental", "--query-key", "k", "--overlap-days", "1"]).expect(5);
    assert!(short.out.contains("entry date "), "{}", short.out);
    assert!(short.out.contains("1 counted, 0 listed"), "{}", short.out);
    let status = cli.json(&["status"]);
    let query = status["queries"].as_array().expect("a list").iter().find(|query| query["query_key"] == "k");
    let query = query.expect("listed");
    assert_eq!((&query["members"], &query["upstream_count"]), (&30.into(), &30.into()), "{status}");
    assert_eq!((&query["gaps"][0]["counted"], &query["gaps"][0]["listed"]), (&1.into(), &0.into()), "{status}");
    simulator.corpus().entry(1000).expect("there").listed = Listed::Once;
    let healed = cli.json(&["sync", "--incremental", "--query-key", "k", "--overlap-days", "1"]);
    assert_eq!((&healed["complete"], &healed["gaps"]), (&true.into(), &serde_json::json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_clear_error_without_requests() {
    let simulator = upstream(5, Options::default()).await;
    let cli = Cli::new(&simulator).await;
    let check = |arguments: &[&str], words: &str| {
        let run = cli.run(arguments).expect(2);
        assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
    };
    check(&["sync", "  "], "the query is empty");
    check(&["sync", "(asthma"], "parentheses do not match");
    check(&["sync", "a) OR (b"], "parentheses do not match");
    check(&["sync", "asthma \"x"], "without its partner");
    check(&["sync", "AT&amp;T"], "HTML-escaped");
    check(&["sync", &"x".repeat(30_000)], "longer than");
    check(&["search", "a\u{1b}[31mb"], "control characters");
    check(&["sync", "--pmids", "12a", "0", "+5", "007"], "not a PMID: \"12a\", \"0\", \"+5\", \"007\"");
    check(&["sync", "--pmids", "1234567890"], "not a PMID");
    check(&["sync", "all", "--incremental", "--from", "2026-13-01"], "must be a date");
    check(&["sync", "all", "--incremental", "--from", "2999-01-01"], "is in the future");
    check(&["sync", "all", "--incremental", "--overlap-days", "31"], "31");
    check(&["sync", "all", "--limit", "0"], "0");
    check(&["sync", "--incremental", "--query-key", "unknown"], "query key unknown not found");
    check(&["sync"], "required");
    check(&["topics", "add", "all", "--every", "5s"], "at least 1m");
    check(&["purge", "5", "--reason", " "], "--reason");
    assert!(simulator.arrivals().is_empty());
    cli.json(&["sync", "all", "--incremental", "--query-key", "k"]);
    check(&["sync", "tenth", "--incremental", "--query-key", "k"], "belongs to another query");
    let unknown = cli.run(&["purge", "999", "--reason", "x"]).expect(3);
    assert!(unknown.err.contains("not in the archive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_wrong_key_or_unreachable_ncbi_do_not_contain_the_key() {
    let simulator = upstream(5, Options::default()).await;
    let mut cli = Cli::new(&simulator).await;
    cli.more.push(("BIO_MCP_PUBMED_API_KEY", "hunter2hunter2".to_owned()));
    let refused = cli.run(&["--verbose", "sync", "all"]).expect(1);
    let text = format!("{}{}", refused.out, refused.err);
    assert!(text.contains("BIO_MCP_PUBMED_API_KEY"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let searched = cli.run(&["search", "all"]).expect(2);
    assert!(searched.err.contains("refuses the API key") && !searched.err.contains("hunter2"), "{}", searched.err);
    cli.more.pop();
    // Nothing listens on this port.
    cli.base_url = "http://127.0.0.1:1/entrez/eutils/".into();
    let child = {
        let mut command = cli.archive.command(&["sync", "all"]);
        command.env("BIO_MCP_PUBMED_BASE_URL", &cli.base_url).stderr(std::process::Stdio::piped());
        command.spawn().expect("starts")
    };
    let db = cli.archive.database().await;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let waiting: Option<String> =
            sqlx::query_scalar("select progress ->> 'waiting' from jobs where state = 'running' limit 1")
                .fetch_optional(&db)
                .await
                .expect("read")
                .flatten();
        if waiting.is_some_and(|why| why.contains("NCBI")) {
            break;
        }
        assert!(Instant::now() < deadline, "it says that it waits");
        tokio::task::yield_now().await;
    }
    rustix_interrupt(child.id());
    let ended: Run = child.wait_with_output().expect("ends").into();
    let ended = ended.expect(130);
    assert!(ended.err.contains("nothing is lost"), "{}", ended.err);
}

fn rustix_interrupt(pid: u32) {
    let status = std::process::Command::new("kill").args(["-INT", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_a_sync_ends_as_if_it_had_not_been() {
    for place in [
        "after_claim",
        "after_start",
        "after_slice:2",
        "before_put:2",
        "after_put:2",
        "in_transaction:4",
        "after_commit",
        "after_part",
        "after_run:3",
        "after_manifest",
    ] {
        let simulator = upstream(650, Options::default()).await;
        let cli = Cli::new(&simulator).await;
        // Windows of days before the first record: many slices.
        let from = (shared::syncs::ncbi_day(shared::core::clock::now()) - chrono::Days::new(33)).to_string();
        let arguments = ["--output", "json", "sync", "all", "--incremental"];
        let killed = {
            let mut command = cli.archive.command(&[&arguments[..], &["--from", &from]].concat());
            command.env("BIO_MCP_PUBMED_BASE_URL", &cli.base_url).env("BIO_MCP_CRASH_AT", place);
            command.env("BIO_MCP_WORKERS", "1").envs(cli.more.iter().map(|(name, value)| (name, value)));
            command.output().expect("starts")
        };
        assert_eq!(killed.status.code(), None, "{place}: killed; {}", String::from_utf8_lossy(&killed.stderr));
        // The same command, although its watermarks cannot move during the run.
        let ended = cli.run(&[&arguments[..], &["--from", &from]].concat()).expect(0).json();
        assert_eq!(
            (&ended["requested"], &ended["failed"], &ended["missing"]),
            (&650.into(), &0.into(), &0.into()),
            "{place}: {ended}"
        );
        let status = cli.json(&["status"]);
        assert_eq!((&status["live"], &status["events"]), (&650.into(), &650.into()), "{place}");
        assert_eq!(cli.json(&["verify"])["report"]["problem_count"], 0, "{place}");
        assert_eq!(tests::invariants::broken(&cli.archive.database().await).await, Vec::<String>::new(), "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_syncs_due_topics_and_ends_on_a_signal() {
    let simulator = upstream(40, Options::default()).await;
    let mut cli = Cli::new(&simulator).await;
    cli.json(&["topics", "add", "all", "--query-key", "everything", "--every", "6h"]);
    let listed = cli.json(&["topics", "list"]);
    assert_eq!(
        (&listed["topics"][0]["query_key"], &listed["topics"][0]["every_secs"]),
        (&"everything".into(), &21600.into())
    );
    cli.more.push(("BIO_MCP_SYNC_TOPICS", r#"[{"query": "tenth"}]"#.to_owned()));
    let child = {
        let mut command = cli.archive.command(&["up"]);
        command.env("BIO_MCP_PUBMED_BASE_URL", &cli.base_url).envs(cli.more.iter().map(|(name, value)| (name, value)));
        command.stderr(std::process::Stdio::piped()).spawn().expect("starts")
    };
    let db = cli.archive.database().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let sql = "select count(*) from jobs where state = 'succeeded' and tool = 'pubmed.sync.incremental'";
        let done: i64 = sqlx::query_scalar(sql).fetch_one(&db).await.unwrap_or(0);
        if done == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "both topics are synced");
        tokio::task::yield_now().await;
    }
    rustix_interrupt(child.id());
    Run::from(child.wait_with_output().expect("ends")).expect(0);
    assert_eq!(cli.json(&["status"])["live"], 40);
    cli.more.pop();
    cli.json(&["topics", "rm", "everything"]);
    cli.run(&["topics", "rm", "everything"]).expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_file_is_fetched_by_name_and_deletes() {
    let simulator = upstream(10, Options::default()).await;
    let cli = Cli::new(&simulator).await;
    cli.json(&["sync", "all"]);
    let later = shared::core::clock::now().timestamp() + 2;
    simulator.publish_update("pubmed26n1400.xml.gz", &[1001], &[1002], later);
    let ingested = cli.json(&["ingest", "pubmed26n1400.xml.gz"]);
    assert_eq!((&ingested["skipped"], &ingested["deleted"]), (&1.into(), &1.into()));
    let gone = cli.run(&["get", "1002"]).expect(3);
    assert!(gone.err.contains("deleted by pubmed26n1400.xml.gz"), "{}", gone.err);
    let nowhere = cli.run(&["ingest", "pubmed26n1401.xml.gz"]).expect(3);
    assert!(nowhere.err.contains("does not have pubmed26n1401.xml.gz"), "{}", nowhere.err);
    let purged = cli.json(&["purge", "1003", "--reason", "by request", "--versions"]);
    assert_eq!(purged["purged"]["versions_deleted"], 1);
    assert!(cli.run(&["get", "1003"]).expect(3).err.contains("by request"));
    assert_eq!(cli.json(&["verify"])["report"]["problem_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_record_is_tried_again() {
    let simulator = upstream(5, Options::default()).await;
    let cli = Cli::new(&simulator).await;
    {
        let mut corpus = simulator.corpus();
        let big = Entry { bytes: 40_000, ..Entry::on(day("2026-01-01")) };
        corpus.put(1002, big);
    }
    let mut strict = Cli { more: cli.more.clone(), base_url: cli.base_url.clone(), archive: cli.archive };
    strict.more.push(("BIO_MCP_MAX_RECORD_BYTES", "20000".to_owned()));
    let run = strict.run(&["--output", "json", "sync", "--pmids", "1001,1002"]).expect(5).json();
    assert_eq!((&run["archived"], &run["failed"]), (&1.into(), &1.into()));
    strict.run(&["quarantine", "retry", "--all"]).expect(5);
    strict.more.pop();
    let cut = strict.run(&["quarantine", "retry", "--all"]).expect(5);
    assert!(
        cut.out.contains("only its first bytes were kept") && cut.out.contains("bio-mcp sync --pmids 1002"),
        "{}",
        cut.out
    );
    assert_eq!(strict.json(&["sync", "--pmids", "1002"])["archived"], 1, "the limit was raised");
    assert_eq!(strict.json(&["quarantine", "list"])["quarantine"].as_array().map(Vec::len), Some(0), "it came whole");
    assert_eq!(strict.json(&["verify"])["report"]["problem_count"], 0);
    strict.run(&["get", "1002"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_text_and_keys_are_never_logged() {
    let simulator = upstream(5, Options::default()).await;
    let mut cli = Cli::new(&simulator).await;
    cli.more.push(("BIO_MCP_PUBMED_API_KEY", "valid-key".to_owned()));
    cli.more.push(("BIO_MCP_LOG_LEVEL", "trace".to_owned()));
    for fault in [Fault::ThrottledSilent, Fault::Backend, Fault::Relayed, Fault::Html, Fault::SearchBackend] {
        simulator.faults().script.extend([Some(fault), None]);
        let run = cli.run(&["--verbose", "--output", "json", "sync", "--pmids", "1001"]).expect(0);
        let text = format!("{}{}", run.out, run.err);
        for canary in ["valid-key", "API rate limit exceeded", "TXCLIENT", "proxy_stream", "WWW Error"] {
            assert!(!text.contains(canary), "{fault:?}: {canary} in {text}");
        }
    }
    let db = cli.archive.database().await;
    let dump: Vec<String> = sqlx::query_scalar("select coalesce(string_agg(l::text, ' '), '') from ingestion_job_logs l union all select coalesce(string_agg(j::text, ' '), '') from jobs j")
        .fetch_all(&db)
        .await
        .expect("read");
    assert!(!dump.concat().contains("valid-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_without_a_network_says_that_it_waits_and_fails_in_bounded_time() {
    let archive = Archive::new().await;
    let search = |url: &str| {
        let mut command = archive.command(&["search", "asthma"]);
        command.env("BIO_MCP_PUBMED_BASE_URL", url).env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    // Connection refused: retried a few times, then reported.
    let began = Instant::now();
    let refused = Run::from(search("http://127.0.0.1:1/entrez/eutils/").output().expect("runs")).expect(4);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(refused.err.contains("bio-mcp: ") && refused.out.is_empty(), "{refused:?}");
    // A server that accepts connections and does not respond.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("an address");
    let began = Instant::now();
    let mut child = search(&format!("http://{address}/entrez/eutils/")).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("read");
    assert!(line.contains("waiting for NCBI, at most 20 s"), "{line}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    child.kill().expect("killed");
    child.wait().expect("ends");
}
