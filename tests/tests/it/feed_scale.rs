//! The change feed of a long log: how much a page reads, and how large it becomes.

use serde_json::{Value, json};
use shared::core::Pmid;
use shared::projections::changes::{ChangeKind, FeedFilter, feed};
use shared::syncs::add_members;
use sqlx::PgPool;
use tests::databases::new_database;
use tests::http::{World, plain};

/// A database with a log of this many events and records, and their feed.
async fn log(events: i64, records: i64) -> PgPool {
    // Without the statement time limits of the program.
    let db = PgPool::connect(&new_database().await).await.expect("connects");
    fill(&db, events, records).await;
    db
}

/// Every fiftieth event is a retraction.
async fn fill(db: &PgPool, events: i64, records: i64) {
    for sql in [
        "insert into archive_events \
             (seq, pmid, record_id, outcome, content_hash, s3_uri, accepted_at, integrity_rules) \
         select n, (n - 1) % $2 + 1, (n - 1) % $2 + 1, 'archived', repeat('a', 64), 'memory:///x?versionId=1', now(), \
                1 \
         from generate_series(1, $1) n",
        "insert into changes (seq, kind, record_type, record_id, integrity) \
         select n, case when n % 50 = 0 then 'retracted' when n > $2 then 'revised' else 'new' end, 'pubmed', \
                (n - 1) % $2 + 1, case when n % 50 = 0 then 'retracted' else 'ok' end \
         from generate_series(1, $1) n",
        "with log as (update archive_event_counter set last_seq = $1) \
         insert into projections (name, seq, rules) select 'changes', $1, 1 where $2 > 0",
    ] {
        sqlx::query(sql).bind(events).bind(records).execute(db).await.expect("filled");
    }
    sqlx::raw_sql("analyze archive_events, changes, query_members").execute(db).await.expect("analyzed");
}

async fn join(db: &PgPool, key: &str, numbers: impl Iterator<Item = u32>) {
    let pmids: Vec<Pmid> = numbers.map(|n| Pmid::new(n).expect("a PMID")).collect();
    let mut tx = shared::db::begin(db).await.expect("begun");
    add_members(&mut tx, key, &pmids).await.expect("added");
    tx.commit().await.expect("committed");
}

/// The largest number of rows that a node of a query plan read.
fn most_rows(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
    let rows = (number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck"))
        * number("Actual Loops");
    node["Plans"].as_array().into_iter().flatten().map(most_rows).fold(rows, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_no_more_of_a_long_log_than_it_returns() {
    const PAGE: &str = concat!(
        "explain (analyze, format json) ",
        include_str!("../../../shared/src/projections/changes/feed.sql"),
        include_str!("../../../shared/src/projections/changes/feed_order.sql")
    );
    const JOINED: &str =
        concat!("explain (analyze, format json) ", include_str!("../../../shared/src/projections/changes/joined.sql"));
    let db = log(200_000, 150_000).await;
    join(&db, "early", 1..40_000).await;
    sqlx::query("update query_members set first_seq = first_seq / 1000").execute(&db).await.expect("moved");
    join(&db, "late", 1..40_000).await;
    sqlx::raw_sql("analyze archive_events, changes, query_members").execute(&db).await.expect("analyzed");
    for limit in [1_i64, 100, 1000] {
        for (after, kinds, query_key) in [
            (190_000_i64, None, None),
            (50_000, None, None),
            (190_000, Some(vec!["new", "revised"]), None),
            (100_000, Some(vec!["new"]), None),
            (150_000, None, Some("early")),
        ] {
            let plan: Value = sqlx::query_scalar(PAGE)
                .bind(after)
                .bind(200_000_i64)
                .bind(kinds.clone())
                .bind(query_key)
                .bind(limit)
                .fetch_one(&db)
                .await
                .expect("explained");
            let rows = most_rows(&plan[0]["Plan"]);
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let most = (10 * limit.max(10)) as f64;
            assert!(
                rows > 0.0 && rows <= most,
                "{rows} rows for {limit} after {after} {kinds:?} {query_key:?}: {plan}"
            );
        }
        let plan: Value = sqlx::query_scalar(JOINED)
            .bind("late")
            .bind(200_000_i64)
            .bind(300_000_i64)
            .bind("pubmed")
            .bind(limit)
            .bind(true)
            .fetch_one(&db)
            .await
            .expect("explained");
        let rows = most_rows(&plan[0]["Plan"]);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let most = (10 * limit.max(100)) as f64;
        assert!(rows > 0.0 && rows <= most, "{rows} rows for {limit} members: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_records_is_small_enough_for_a_response() {
    const RECORDS: usize = 700;
    let World { server, simulator: _ncbi } = plain().await;
    let db = &server.engine.db;
    fill(db, 700, 700).await;
    sqlx::query(
        "update changes set integrity = 'corrected', details = jsonb_build_object('notices', ( \
             select jsonb_agg( \
                 jsonb_build_object('ref_type', 'ErratumIn', 'pmid', n::text, 'source', repeat('x', 300))) \
             from generate_series(1, 30) n))",
    )
    .execute(db)
    .await
    .expect("described");
    let (mut seqs, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = server.get(&format!("/v1/events?after={after}&limit=1000")).await.body;
        let size = page.to_string().len();
        assert!(size < 3 << 20, "{size} bytes");
        for event in page["events"].as_array().expect("a list") {
            seqs.push(event["seq"].as_i64().expect("a number"));
            assert_eq!((event["notices"].as_array().map(Vec::len), &event["notice_count"]), (Some(10), &json!(30)));
        }
        pages += 1;
        if page["complete"] == true {
            break;
        }
        after = page["next_seq"].as_i64().expect("a number");
    }
    assert_eq!((seqs.len(), pages), (RECORDS, 2), "a page is not much smaller than it may be");
    assert!(seqs.is_sorted_by(|one, next| one < next), "each once and in order");
}

#[tokio::test]
async fn records_that_become_members_at_once_share_a_number_with_few() {
    let db = log(250, 250).await;
    join(&db, "mine", 1..251).await;
    let numbers: Vec<(i64, i64)> =
        sqlx::query_as("select first_seq, count(*) from query_members group by first_seq order by first_seq")
            .fetch_all(&db)
            .await
            .expect("read");
    assert_eq!(numbers, [(251, 100), (252, 100), (253, 50)]);
    let last: i64 =
        sqlx::query_scalar("select last_seq from archive_event_counter").fetch_one(&db).await.expect("read");
    assert_eq!(last, 253);
    let filter = FeedFilter { kinds: Vec::new(), query_key: Some("mine".to_owned()) };
    let page = feed(&db, &filter, 0, 1).await.expect("read");
    let (entries, next) = (page.entries.len(), page.next_seq);
    assert!(entries <= 2 * 100 && next == 251 && !page.is_complete, "{entries} up to {next}");
    // Existing members take no sequence number.
    join(&db, "mine", 1..251).await;
    let again: i64 =
        sqlx::query_scalar("select last_seq from archive_event_counter").fetch_one(&db).await.expect("read");
    assert_eq!(again, last);
}

#[tokio::test]
async fn new_members_are_filtered_by_kinds_before_they_fill_a_page() {
    let db = log(250, 250).await;
    join(&db, "mine", 1..251).await;
    let read = async |kinds: &[ChangeKind], limit: usize| {
        let filter = FeedFilter { kinds: kinds.to_vec(), query_key: Some("mine".to_owned()) };
        feed(&db, &filter, 0, limit).await.expect("read")
    };
    let page = read(&[ChangeKind::Retracted], 100).await;
    let retracted: Vec<&str> = page.entries.iter().map(|one| one.record_id.as_str()).collect();
    assert_eq!((retracted, page.is_complete), (vec!["100", "150", "200", "250", "50"], true));
    let none = read(&[ChangeKind::Deleted, ChangeKind::Revised], 100).await;
    assert_eq!((none.entries.len(), none.is_complete), (0, true));
    assert_eq!(read(&[ChangeKind::New], 1000).await.entries.len(), 250);
}

/// A page examines at most ten thousand members, whatever the filter.
#[tokio::test]
async fn a_page_that_finds_nothing_among_many_members_ends() {
    let db = log(100, 100).await;
    join(&db, "mine", 1_000..12_000).await;
    let filter = FeedFilter { kinds: vec![ChangeKind::Retracted], query_key: Some("mine".to_owned()) };
    let first = feed(&db, &filter, 0, 100).await.expect("read");
    assert_eq!((first.entries.len(), first.next_seq, first.is_complete), (0, 100 + 100, false));
    let second = feed(&db, &filter, first.next_seq, 100).await.expect("read");
    assert_eq!((second.entries.len(), second.next_seq, second.is_complete), (0, 100 + 110, true));
    // Members stored before their number per sequence number was limited.
    sqlx::query("update query_members set first_seq = 210").execute(&db).await.expect("moved");
    let whole = feed(&db, &filter, 209, 100).await.expect("read");
    assert_eq!((whole.entries.len(), whole.next_seq, whole.is_complete), (0, 210, true));
}
