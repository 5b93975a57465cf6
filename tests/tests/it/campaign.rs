//! Work under load that is interrupted at random moments: workers, servers and Postgres are killed, connections fall
//! silent. At the end the archive equals that of one undisturbed ingest of the same files.
//!
//! `BIO_MCP_KILLS` and `BIO_MCP_SILENCES` set the number of interruptions; `make campaign` runs hundreds.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{Corpus, Options, Simulator};
use sqlx::PgPool;
use tests::http::ADMIN;
use tests::invariants;
use tests::program::Archive;
use tests::random::Random;
use tests::serving::{Running, client};
use tests::silent_proxy::SilentProxy;
use tests::sync::{day, simulator};

/// Maximum time to recover from an interruption.
const RECOVERY: Duration = Duration::from_secs(30);

/// Update files of the upstream, and records in each.
const FILES: u32 = 24;
const RECORDS: u32 = 150;

/// The number in an environment variable.
fn number(name: &str, default: usize) -> usize {
    tests::variable(name).map_or(default, |text| text.parse().expect("a number"))
}

fn file(n: u32) -> String {
    format!("pubmed26n{n:04}.xml.gz")
}

/// Files that revise each other's records and delete some.
async fn upstream(random: &mut Random) -> Simulator {
    let upstream = simulator(Corpus::new(day("2026-03-10")), Options::default()).await;
    let mut pmids: Vec<u32> = Vec::new();
    for n in 1..=FILES {
        let mut changed = Vec::new();
        for _ in 0..RECORDS {
            let known = pmids.get(usize::try_from(random.below(1 + pmids.len() as u64)).expect("small")).copied();
            let mut corpus = upstream.corpus();
            let pmid = if let Some(pmid) = known.filter(|_| random.percent(60)) {
                corpus.revise(pmid);
                pmid
            } else {
                let pmid = 1000 + u32::try_from(pmids.len()).expect("few");
                corpus.add(pmid, "load");
                pmids.push(pmid);
                pmid
            };
            if !changed.contains(&pmid) {
                changed.push(pmid);
            }
        }
        let gone: Vec<u32> =
            pmids.iter().copied().filter(|pmid| !changed.contains(pmid) && random.percent(1)).collect();
        upstream.publish_update(&file(n), &changed, &gone, 1_700_000_000 + i64::from(n));
    }
    upstream
}

/// What an archive holds of each record: its payload hash and version, or that it was deleted.
type Contents = BTreeMap<String, (Option<String>, i32, i64)>;

async fn contents(db: &PgPool) -> Contents {
    let sql = "select pmid, content_hash, record_version, position from pubmed_archive";
    let rows: Vec<(String, Option<String>, i32, i64)> = sqlx::query_as(sql).fetch_all(db).await.expect("readable");
    rows.into_iter().map(|(pmid, hash, version, position)| (pmid, (hash, version, position))).collect()
}

/// Environment variables of the programs under test.
fn environment(upstream: &Simulator) -> Vec<(&'static str, String)> {
    vec![
        ("BIO_MCP_PUBMED_EMAIL", "tests@example.org".to_owned()),
        ("BIO_MCP_PUBMED_BASE_URL", upstream.eutils_url()),
        ("BIO_MCP_PUBMED_FILES_URL", upstream.files_url()),
        ("BIO_MCP_BATCH_RECORDS", "15".to_owned()),
        ("BIO_MCP_HEARTBEAT_SECS", "1".to_owned()),
        ("BIO_MCP_STALE_SECS", "4".to_owned()),
        ("BIO_MCP_LOG_LEVEL", "warn".to_owned()),
        (ADMIN.0, ADMIN.1.to_owned()),
    ]
}

/// The archive after each file was ingested once, in order, by one undisturbed command.
async fn undisturbed(upstream: &Simulator) -> Contents {
    let archive = Archive::new().await;
    let names: Vec<String> = (1..=FILES).map(file).collect();
    let mut arguments = vec!["ingest"];
    arguments.extend(names.iter().map(String::as_str));
    let mut command = archive.command(&arguments);
    let run: tests::program::Run = command.envs(environment(upstream)).output().expect("runs").into();
    run.expect(0);
    contents(&archive.database().await).await
}

/// Programs over one archive.
struct Programs {
    archive: Archive,
    environment: Vec<(&'static str, String)>,
    port: u16,
}

impl Programs {
    async fn new(archive: Archive, upstream: &Simulator) -> Self {
        // Successive servers listen on the same port; it stays free while none listens.
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = port.local_addr().expect("bound").port();
        Self { archive, environment: environment(upstream), port }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.archive.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    }

    fn serve(&self) -> Running {
        Running(self.start(&["serve", "--listen", &format!("127.0.0.1:{}", self.port)]))
    }

    fn worker(&self) -> Running {
        Running(self.start(&["worker"]))
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// What the clients observed.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    /// Responses that ask to retry; each must have an error code.
    unavailable: AtomicUsize,
    /// Connections that a killed server broke.
    broken: AtomicUsize,
    jobs: std::sync::Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// Sends a request once; `None` if the server is unreachable or asks to retry. A 5xx response must have a code.
async fn ask(http: &reqwest::Client, seen: &Seen, request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let request = request.bearer_auth("admin").timeout(RECOVERY).build().expect("a request");
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let broken = || {
        seen.broken.fetch_add(1, Ordering::Relaxed);
    };
    let Ok(response) = http.execute(request).await else {
        broken();
        tokio::time::sleep(Duration::from_millis(20)).await;
        return None;
    };
    let status = response.status().as_u16();
    let Ok(body) = response.bytes().await else {
        broken();
        return None;
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{status} is not JSON ({e})"));
    if status >= 500 || status == 429 {
        assert!(body["error_code"].is_string() && body["trace_id"].is_string(), "{status}: {body}");
        assert_ne!(body["error_code"], "INTERNAL", "{body}");
        seen.unavailable.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        return None;
    }
    Some((status, body))
}

/// A client that submits files and reads until it is stopped. It repeats each submission until it knows the job.
async fn load(address: String, seen: Arc<Seen>, mut random: Random) {
    let http = client();
    let mut n = 0;
    while !seen.is_over.load(Ordering::Relaxed) {
        n += 1;
        let key = format!("{:x}-{n}", random.below(u64::MAX));
        let files: Vec<String> = (0..=random.below(3))
            .map(|_| file(1 + u32::try_from(random.below(FILES.into())).expect("small")))
            .collect();
        let body = json!({ "tool": "pubmed.ingest_files", "params": { "files": files } });
        let job = loop {
            let post = http
                .post(format!("{address}/v1/jobs"))
                .header("Idempotency-Key", &key)
                .header("content-type", "application/json")
                .body(body.to_string());
            if let Some((status, response)) = ask(&http, &seen, post).await {
                assert!(status == 200 || status == 202, "{status}: {response}");
                break response["job_id"].as_str().expect("an id").to_owned();
            }
        };
        seen.jobs.lock().expect("no panic").push(job.clone());
        for _ in 0..4 {
            let path = match random.below(3) {
                0 => format!("/v1/jobs/{job}?wait=1"),
                1 => "/v1/jobs?limit=5".to_owned(),
                _ => format!("/v1/pubmed/{}", 1000 + random.below(2_000)),
            };
            if let Some((status, response)) = ask(&http, &seen, http.get(format!("{address}{path}"))).await {
                assert_eq!(status, 200, "{path}: {response}");
            }
        }
    }
}

/// Running clients.
struct Load {
    seen: Arc<Seen>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(programs: &Programs, random: &mut Random) -> Self {
        let seen = Arc::<Seen>::default();
        let clients = (0..3)
            .map(|_| tokio::spawn(load(programs.address(), seen.clone(), Random(random.below(u64::MAX)))))
            .collect();
        Self { seen, clients }
    }

    /// Ends the load; every client must have received the promised responses.
    async fn end(self) -> Arc<Seen> {
        self.seen.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every response was as promised");
        }
        self.seen
    }
}

/// One more job reads every file, including those that the random choice left out.
async fn submit_all(programs: &Programs, seen: &Seen) {
    let http = client();
    let body =
        json!({ "tool": "pubmed.ingest_files", "params": { "files": (1..=FILES).map(file).collect::<Vec<_>>() } });
    let job = loop {
        let post = http
            .post(format!("{}/v1/jobs", programs.address()))
            .header("Idempotency-Key", "all")
            .header("content-type", "application/json")
            .body(body.to_string());
        if let Some((_, job)) = ask(&http, seen, post).await {
            break job;
        }
    };
    seen.jobs.lock().expect("no panic").push(job["job_id"].as_str().expect("an id").to_owned());
}

/// Every job ends with success; one whose unit lost its worker too often is retried, as a user would.
async fn ended_well(programs: &Programs, seen: &Seen) -> usize {
    let http = client();
    let mut retried = 0;
    let ids = seen.jobs.lock().expect("no panic").clone();
    for id in ids {
        loop {
            let get = http.get(format!("{}/v1/jobs/{id}?wait=5", programs.address()));
            let Some((_, job)) = ask(&http, seen, get).await else { continue };
            match job["state"].as_str() {
                Some("succeeded") => break,
                Some("failed") => {
                    assert_eq!(job["error"]["code"], "WORKER_LOST", "{job}");
                    let retry = http.post(format!("{}/v1/jobs/{id}/retry", programs.address()));
                    retried += usize::from(ask(&http, seen, retry).await.is_some());
                }
                Some("queued" | "running") => {}
                _ => panic!("{job}"),
            }
        }
    }
    retried
}

/// The archive holds the expected records, nothing twice, and one job per idempotency key.
async fn nothing_lost(db: &PgPool, expected: &Contents, seen: &Seen) {
    // The projections still catch up: between the end of its last unit and its own end, a job counts as stranded.
    let quiet = async {
        let sql = "select count(*) from jobs where state in ('queued', 'running')";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(db).await.expect("counted") > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(RECOVERY * 4, quiet).await.expect("all jobs end");
    assert_eq!(invariants::broken(db).await, Vec::<String>::new());
    let held = contents(db).await;
    let wrong: Vec<_> = expected.iter().filter(|(pmid, one)| held.get(*pmid) != Some(one)).take(3).collect();
    assert!(wrong.is_empty(), "lost or wrong: {wrong:?}");
    assert_eq!(held.len(), expected.len(), "nothing else is held");
    let twice: i64 = sqlx::query_scalar(
        "select count(*) from (select from archive_events group by pmid, content_hash, outcome having count(*) > 1) e",
    )
    .fetch_one(db)
    .await
    .expect("counted");
    assert_eq!(twice, 0, "a change is noted once");
    let sql = "select count(*) from jobs where state = 'succeeded' and tool <> 'projections.catch_up'";
    let jobs: i64 = sqlx::query_scalar(sql).fetch_one(db).await.expect("counted");
    let submitted = seen.jobs.lock().expect("no panic").len();
    assert_eq!(usize::try_from(jobs).expect("few"), submitted, "one job for each key");
}

/// The time until requests are served and batches are committed again.
async fn recovered(programs: &Programs, db: &PgPool, seen: &Seen) -> Duration {
    let began = Instant::now();
    let http = client();
    let batches = || async {
        let sql = "select coalesce(sum(units_done), 0)::bigint from jobs where tool <> 'projections.catch_up'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(db).await.expect("counted")
    };
    let before = batches().await;
    let again = async {
        while ask(&http, seen, http.get(format!("{}/v1/jobs", programs.address()))).await.is_none() {}
        while batches().await == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(RECOVERY, again).await.expect("all goes on in time");
    began.elapsed()
}

fn summary(what: &str, mut times: Vec<Duration>, seen: &Seen, retried: usize) {
    times.sort();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    println!(
        "{what}: {}; until work went on: median {:?}, longest {:?}; {} jobs, {retried} of them retried; {} requests, {} asked to \
         try again, {} broken connections",
        times.len(),
        at(50),
        times.last(),
        seen.jobs.lock().expect("no panic").len(),
        seen.requests.load(Ordering::Relaxed),
        seen.unavailable.load(Ordering::Relaxed),
        seen.broken.load(Ordering::Relaxed),
    );
}

/// The PID of the private Postgres, if it runs.
fn postgres(archive: &Archive) -> Option<String> {
    let pid_file = archive.data_dir().join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file).ok()?.lines().next()?.trim().to_owned();
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|name| name.trim() == "postgres").map(|_| pid)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_workers_servers_and_postgres_are_killed_under_load() {
    let kills = number("BIO_MCP_KILLS", 3);
    let mut random = Random(u64::try_from(number("BIO_MCP_CAMPAIGN_SEED", 1)).expect("a number"));
    let upstream = upstream(&mut random).await;
    let expected = undisturbed(&upstream).await;
    let programs = Programs::new(Archive::with_private_postgres(), &upstream).await;
    // The Postgres server starts with the first command; this one keeps it running until it is stopped.
    let url = programs.archive.run(&["db", "start"]).expect(0).out.trim().to_owned();
    let direct = programs.archive.with_url(&url);
    let (mut server, mut workers) = (programs.serve(), [programs.worker(), programs.worker()]);
    let load = Load::start(&programs, &mut random);
    let mut times = Vec::new();
    for n in 0..kills {
        // Random timing is the purpose of this test.
        tokio::time::sleep(Duration::from_millis(100 + random.below(900))).await;
        let began = Instant::now();
        // Each kind of kill first, so that a few kills cover all.
        match if n < 3 { u64::try_from(n).expect("small") * 4 } else { random.below(10) } {
            0..4 => {
                let worker = usize::try_from(random.below(2)).expect("small");
                workers[worker] = programs.worker();
            }
            4..7 => {
                // The new server uses the same port: the old one must have exited.
                drop(std::mem::replace(&mut server, Running(programs.start(&["--version"]))));
                server = programs.serve();
            }
            _ => {
                if let Some(pid) = postgres(&programs.archive) {
                    let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
                    assert!(killed.expect("kill runs").success());
                }
            }
        }
        let http = client();
        let served = async {
            while ask(&http, &load.seen, http.get(format!("{}/v1/jobs", programs.address()))).await.is_none() {}
        };
        tokio::time::timeout(RECOVERY, served).await.expect("requests are served in time");
        times.push(began.elapsed());
    }
    let seen = load.end().await;
    submit_all(&programs, &seen).await;
    let retried = ended_well(&programs, &seen).await;
    let db = direct.database().await;
    nothing_lost(&db, &expected, &seen).await;
    db.close().await;
    drop((server, workers));
    programs.archive.run(&["verify"]).expect(0);
    programs.archive.run(&["db", "stop"]).expect(0);
    summary("kills", times, &seen, retried);
}

async fn silences(count: usize, seed: u64) -> (Vec<Duration>, Arc<Seen>, usize) {
    let mut random = Random(seed);
    let upstream = upstream(&mut random).await;
    let expected = undisturbed(&upstream).await;
    let direct = Archive::new().await;
    let db = direct.database().await;
    let proxy = SilentProxy::before(direct.url().expect("on the test server")).await;
    let programs = Programs::new(direct.with_url(&proxy.url()), &upstream).await;
    let (server, worker) = (programs.serve(), programs.worker());
    let load = Load::start(&programs, &mut random);
    let mut times = vec![recovered(&programs, &db, &load.seen).await];
    times.clear();
    for _ in 0..count {
        tokio::time::sleep(Duration::from_millis(random.below(2_000))).await;
        proxy.hush();
        times.push(recovered(&programs, &db, &load.seen).await);
    }
    let seen = load.end().await;
    submit_all(&programs, &seen).await;
    let retried = ended_well(&programs, &seen).await;
    nothing_lost(&db, &expected, &seen).await;
    drop((server, worker));
    direct.run(&["verify"]).expect(0);
    (times, seen, retried)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_connections_fall_silent_under_load() {
    let (times, seen, retried) = silences(number("BIO_MCP_SILENCES", 1), 100).await;
    summary("silences", times, &seen, retried);
}
