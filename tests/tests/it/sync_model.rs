//! Incremental sync against random upstream histories: records added, indexed late, revised, retracted, withdrawn and
//! never archivable; failures, kills, limits, concurrent starts.
//!
//! After every run, every record dated and indexed before the watermark has an outcome. At the end, with a healthy
//! upstream, the archive equals upstream and nothing was stored twice. `BIO_MCP_MODEL_SEEDS` sets the number of
//! histories; `make campaign` runs many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use shared::core::{JobId, Sha256};
use shared::ingest::{Engine, Settings, Worker, sweep};
use shared::jobs::{self, Job, JobState};
use shared::pubmed::eutils::EutilsSettings;
use shared::records;
use shared::sources::pubmed_sync::IncrementalParams;
use shared::syncs::{self, start_of};
use simulator::{Corpus, Fault, Faults, Listed, Options, Simulator};
use sqlx::PgPool;
use tests::random::Random;
use tests::sync::{at, client, day, engine, finish, pmid, settings, simulator, start_incremental};

/// The maximum delay of indexing in days, and the overlap of runs.
const LATE: u32 = 3;

/// Faults that do not make the client wait for seconds.
const KINDS: [Fault; 18] = [
    Fault::ThrottledSilent,
    Fault::BadGateway,
    Fault::Html,
    Fault::Empty,
    Fault::PrologOnly,
    Fault::Truncated,
    Fault::Broken,
    Fault::Backend,
    Fault::SearchBackend,
    Fault::SearchStatus,
    Fault::SearchDatabase,
    Fault::SearchConnection,
    Fault::SearchLost,
    Fault::SearchMessage,
    Fault::NoRecords,
    Fault::Short,
    Fault::Drift,
    Fault::Duplicate,
];

/// Facts about an upstream record that the corpus does not contain.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// When searches start to find it.
    indexed: DateTime<Utc>,
    /// Its XML can never be archived.
    is_broken: bool,
    /// EFetch does not return it.
    is_withdrawn: bool,
    /// The real date of its addition, which its entry date may hide.
    added: NaiveDate,
}

/// One random history.
struct History {
    seed: u64,
    random: Random,
    simulator: Simulator,
    engine: Engine,
    params: IncrementalParams,
    now: DateTime<Utc>,
    known: BTreeMap<u32, Known>,
    next_pmid: u32,
    /// Workers that were killed in it.
    kills: usize,
}

impl History {
    async fn new(seed: u64, db: &PgPool) -> Self {
        let now = at("2026-03-10T17:00:00Z");
        let simulator = simulator(Corpus::new(day("2026-03-10")), Options { cap: 7, ..Options::default() }).await;
        let impatient = EutilsSettings {
            cap: 7,
            page: 3,
            attempts: 4,
            backoff: Duration::from_micros(100),
            ..settings(&simulator)
        };
        let settings = Settings { database_patience: Duration::from_secs(5), ..Settings::default() };
        let engine = engine(db.clone(), client(impatient), settings);
        let key = format!("model-{seed}-{}", uuid::Uuid::new_v4().simple());
        let params = IncrementalParams::new("wanted", Some(&key), Some(LATE), None).expect("fine");
        let next_pmid = u32::try_from(seed % 900_000).expect("small") * 1000 + 1;
        Self { seed, random: Random(seed), simulator, engine, params, now, known: BTreeMap::new(), next_pmid, kills: 0 }
    }

    fn today(&self) -> NaiveDate {
        syncs::ncbi_day(self.now)
    }

    /// Makes records findable by searches when their indexing is due.
    fn index_what_is_due(&self) {
        let mut corpus = self.simulator.corpus();
        for (pmid, known) in &self.known {
            if known.indexed <= self.now
                && let Some(entry) = corpus.entry(*pmid)
            {
                entry.is_indexed = true;
            }
        }
    }

    /// Upstream changes between two runs.
    fn change_upstream(&mut self) {
        let today = self.today();
        self.index_what_is_due();
        let mut corpus = self.simulator.corpus();
        corpus.today = today;
        for _ in 0..self.random.below(5) {
            let pmid = self.next_pmid;
            self.next_pmid += 1;
            let late = if self.random.percent(30) { self.random.below(u64::from(LATE) + 1) } else { 0 };
            let is_broken = self.random.percent(6);
            let is_withdrawn = self.random.percent(6);
            let is_old = self.random.percent(20);
            let is_doubled = self.random.percent(4);
            let entry = if is_old {
                corpus.add_late(pmid, "wanted", today - Days::new(400 + late))
            } else {
                corpus.add(pmid, "wanted")
            };
            entry.listed = if is_doubled { Listed::Twice } else { Listed::Once };
            entry.is_indexed = late == 0;
            entry.is_served = !is_withdrawn;
            entry.xml = is_broken.then(|| {
                Arc::from(format!(
                    "<PubmedArticle><MedlineCitation><PMID Version=\"1\">{pmid}</PMID><broken></MedlineCitation></PubmedArticle>"
                ))
            });
            // On the day when the record is `late` days old.
            let indexed = if late == 0 { self.now } else { start_of(today + Days::new(late)) };
            self.known.insert(pmid, Known { indexed, is_broken, is_withdrawn, added: today });
        }
        corpus.add(self.next_pmid + 500, "other");
        for pmid in self.known.keys().copied().collect::<Vec<_>>() {
            match self.random.below(12) {
                0 => corpus.revise(pmid),
                1 => corpus.retract(pmid),
                2 if self.random.percent(30) => {
                    // A broken record is fixed, or a withdrawn one restored, with a new revision date.
                    if let Some(known) = self.known.get_mut(&pmid).filter(|known| known.is_broken) {
                        known.is_broken = false;
                        if let Some(entry) = corpus.entry(pmid) {
                            entry.xml = None;
                        }
                        corpus.revise(pmid);
                    }
                }
                _ => {}
            }
        }
    }

    async fn run(&mut self) {
        let faults =
            Faults { kinds: KINDS.to_vec(), ..Faults::seeded(self.random.below(u64::MAX), self.random.below(120)) };
        // At most one search per run returns nothing or half: two at once could not be detected.
        let lies = [Fault::Nothing, Fault::Half];
        let lie = self.random.percent(60).then(|| (self.random.below(9), lies[usize::from(self.random.percent(50))]));
        *self.simulator.faults() = Faults { lie, ..faults };
        let limit = self.random.percent(35).then(|| i64::try_from(1 + self.random.below(4)).expect("small"));
        let params = IncrementalParams { limit, ..self.params.clone() };
        let job = start_incremental(&self.engine, &params, self.now).await;
        if self.random.percent(20) {
            // A second caller starts the same query: it gets the same run.
            let other = start_incremental(&self.engine, &self.params, self.now).await;
            assert_eq!(other, job, "seed {}", self.seed);
        }
        if self.random.percent(15) {
            self.simulator.faults().is_down = true;
        }
        for _ in 0..self.random.below(3) {
            self.kill_a_worker(job).await;
            self.check_watermark().await;
        }
        if self.random.percent(8) {
            jobs::cancel(&self.engine.db, job).await.expect("cancels");
        }
        self.work(job).await;
    }

    /// A worker whose process dies at a random moment, and whose lease expires.
    async fn kill_a_worker(&mut self, job: JobId) {
        self.kills += 1;
        let worker = Worker::new(self.engine.clone(), None).expect("a worker");
        let task = tokio::spawn(async move { worker.run_job(job).await });
        for _ in 0..self.random.below(400) {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
        sqlx::query("select reclaim_stale_work_units(-1)").execute(&self.engine.db).await.expect("reclaims");
    }

    /// Works until the job ends. Units delayed because NCBI is down are retried at once, and NCBI recovers after a
    /// while.
    async fn work(&mut self, job: JobId) -> Job {
        for round in 0.. {
            // Reclaims what a killed worker still held, including claims that it sent before it died.
            sqlx::query("select reclaim_stale_work_units(-1)").execute(&self.engine.db).await.expect("reclaims");
            let worker = Worker::new(self.engine.clone(), None).expect("a worker");
            worker.run(true).await.expect("works");
            sweep(&self.engine, None).await.expect("sweeps");
            self.check_watermark().await;
            let row = jobs::get(&self.engine.db, job).await.expect("read").expect("there");
            if row.state.is_terminal() {
                return row;
            }
            if round > 2 {
                *self.simulator.faults() = Faults::default();
                self.engine = self.rested();
            }
            assert!(round < 20, "seed {}: the job never ends: {row:?}", self.seed);
            sqlx::query("update ingestion_work_units set not_before = now() where job_id = $1 and status = 'pending'")
                .bind(job.0)
                .execute(&self.engine.db)
                .await
                .expect("woken");
        }
        unreachable!("the loop ends by returning")
    }

    /// The same engine with a new client, whose breaker is closed.
    fn rested(&self) -> Engine {
        let impatient = EutilsSettings {
            cap: 7,
            page: 3,
            attempts: 4,
            backoff: Duration::from_micros(100),
            ..settings(&self.simulator)
        };
        let fresh = engine(self.engine.db.clone(), client(impatient), self.engine.settings.clone());
        Engine { archive: self.engine.archive.clone(), ..fresh }
    }

    /// Every record dated and indexed before the watermark has an outcome.
    async fn check_watermark(&self) {
        let Some(known) = syncs::one(&self.engine.db, &self.params.query_key).await.expect("read") else { return };
        let marks = known.watermarks;
        let (Some(entry), Some(modification), Some(creation)) = (marks.entry, marks.modification, marks.creation)
        else {
            return;
        };
        let watermark = entry.min(modification).min(creation);
        assert!(entry.max(modification).max(creation) <= self.now, "seed {}: a watermark in the future", self.seed);
        let retries = syncs::retries_of(&self.engine.db, &self.params.query_key).await.expect("read");
        for (number, what) in &self.known {
            let modified = self.simulator.corpus().entry(*number).expect("there").modified;
            let entered = what.added;
            let over = |day: NaiveDate| start_of(day + Days::new(1)) <= watermark;
            if what.indexed > watermark || !over(entered) {
                continue;
            }
            let pointer = records::one(&self.engine.db, pmid(*number)).await.expect("read");
            let has_outcome = pointer.is_some() || retries.contains(&pmid(*number)) || what.is_withdrawn;
            assert!(
                has_outcome,
                "seed {}: {number} {what:?} entered {entered} is behind the watermark {watermark}",
                self.seed
            );
            if over(modified) && !what.is_broken && !what.is_withdrawn && !retries.contains(&pmid(*number)) {
                let current = self.hash(*number);
                let archived = pointer.and_then(|pointer| pointer.content_hash);
                assert_eq!(
                    archived,
                    Some(current),
                    "seed {}: {number} changed {modified}, watermark {watermark}",
                    self.seed
                );
            }
        }
    }

    fn hash(&self, number: u32) -> Sha256 {
        Sha256::of(self.simulator.corpus().xml(number).expect("served").as_bytes())
    }

    /// With a healthy upstream, the archive equals upstream.
    async fn check_end(&self) {
        let db = &self.engine.db;
        let retries = syncs::retries_of(db, &self.params.query_key).await.expect("read");
        let mut objects = 0;
        for (number, what) in &self.known {
            let seed = self.seed;
            let id = pmid(*number);
            let pointer = records::one(db, id).await.expect("read");
            let events = records::events(db, id).await.expect("read");
            if what.is_broken && !what.is_withdrawn {
                assert!(retries.contains(&id), "seed {seed}: {number} is broken and to be tried again");
            }
            if what.is_withdrawn {
                assert!(pointer.is_none(), "seed {seed}: {number} was never served");
                continue;
            }
            if !what.is_broken {
                let pointer = pointer.unwrap_or_else(|| panic!("seed {seed}: {number} {what:?} is lost"));
                assert_eq!(pointer.content_hash, Some(self.hash(*number)), "seed {seed}: {number} is not the latest");
                assert!(pointer.missing_since.is_none(), "seed {seed}: {number} is not missing");
            }
            for pair in events.windows(2) {
                assert_ne!(pair[0].content_hash, pair[1].content_hash, "seed {seed}: {number} was stored twice");
            }
            self.check_versions(*number, &events).await;
            objects += usize::from(!events.is_empty());
        }
        let members: i64 = sqlx::query_scalar("select count(*) from query_members where query_key = $1")
            .bind(&self.params.query_key)
            .fetch_one(db)
            .await
            .expect("counted");
        assert_eq!(
            usize::try_from(members).expect("small"),
            objects,
            "seed {}: every archived record is a member",
            self.seed
        );
    }
}

impl History {
    /// Each event has its version. A version without an event must have a distinct payload: a killed worker stored it
    /// before its rows were committed, and upstream replaced it before any later attempt could adopt it.
    async fn check_versions(&self, number: u32, events: &[records::ArchiveEvent]) {
        let seed = self.seed;
        let key = self.engine.archive.layout().record(pmid(number));
        let mut payloads = Vec::new();
        for version in self.engine.archive.store().versions(&key).await.expect("listed") {
            let (envelope, _) = self.engine.archive.envelope_at(&key, Some(&version)).await.expect("read");
            payloads.push(envelope.content_hash().map(Sha256::to_hex));
        }
        for event in events {
            let at = payloads.iter().position(|payload| *payload == event.content_hash);
            let at = at.unwrap_or_else(|| panic!("seed {seed}: {number}: a version of {event:?} is lost"));
            payloads.swap_remove(at);
        }
        // One worker runs at a time, so each killed worker left at most one version of a record.
        assert!(payloads.len() <= self.kills, "seed {seed}: {number}: versions without an event: {payloads:?}");
        for orphan in &payloads {
            let is_twice = events.iter().any(|event| event.content_hash == *orphan);
            assert!(!is_twice, "seed {seed}: {number} was stored twice");
        }
    }
}

async fn check(seed: u64, db: &PgPool) {
    let mut history = History::new(seed, db).await;
    for _ in 0..3 + history.random.below(4) {
        history.change_upstream();
        history.run().await;
        history.check_watermark().await;
        let hours = 3 + history.random.below(40);
        history.now += TimeDelta::hours(i64::try_from(hours).expect("small"));
    }
    // Everything is indexed, upstream is healthy, and two runs without a limit follow.
    history.now = start_of(history.today() + Days::new(u64::from(LATE) + 1)) - TimeDelta::hours(1);
    *history.simulator.faults() = Faults::default();
    history.index_what_is_due();
    for known in history.known.values() {
        assert!(known.indexed <= history.now, "seed {seed}");
    }
    for _ in 0..2 {
        history.engine = history.rested();
        let job = start_incremental(&history.engine, &history.params, history.now).await;
        let ended = finish(&history.engine, job).await;
        assert_eq!(ended.state, JobState::Succeeded, "seed {seed}: {:?}", ended.error);
        history.check_watermark().await;
    }
    history.check_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_stored_twice_and_watermarks_are_never_ahead() {
    let seeds = tests::variable("BIO_MCP_MODEL_SEEDS").and_then(|text| text.parse().ok()).unwrap_or(80u64);
    let first = tests::variable("BIO_MCP_MODEL_FIRST").and_then(|text| text.parse().ok()).unwrap_or(0u64);
    let lanes = 4;
    let mut running = Vec::new();
    for lane in 0..lanes {
        let db = tests::engine::pool(4).await;
        running.push(tokio::spawn(async move {
            for seed in (first..first + seeds).filter(|seed| seed % lanes == lane) {
                check(seed, &db).await;
            }
            assert_eq!(tests::invariants::broken(&db).await, Vec::<String>::new());
        }));
    }
    for lane in running {
        lane.await.expect("the lane's checks hold");
    }
}
