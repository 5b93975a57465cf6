//! The engine is independent of sources: neither its code nor the schema's indexes name a source or a tool, no layer
//! reads the JSON of another, and rows of older programs are keyed by record.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shared::core::JobId;
use shared::db;
use shared::ingest;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use uuid::Uuid;

/// Modules of the engine.
const ENGINE: [&str; 5] = ["ingest", "jobs", "queue", "db", "limits"];

/// Words that belong to sources, and modules above the engine.
const FOREIGN: [&str; 16] = [
    "pubmed",
    "pmid",
    "uniprot",
    "medline",
    "mesh",
    "ncbi",
    "entrez",
    "efetch",
    "esearch",
    "eutils",
    "crate::records",
    "crate::syncs",
    "crate::checkpoints",
    "crate::sources",
    "crate::tools",
    "crate::verify",
];

/// Files that may name a column that the engine stores for other layers.
const QUERY_KEY: [&str; 4] = ["jobs/submit.rs", "jobs/submit.sql", "jobs/state.rs", "ingest/retry.rs"];

fn texts(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.extension().is_some_and(|e| e == "rs" || e == "sql") {
            let text = std::fs::read_to_string(&path).expect("readable");
            found.push((path, text));
        }
    }
    found
}

/// Tool names as literals in code and in SQL.
fn tools() -> Vec<String> {
    let names = shared::tools::catalogue().into_iter().map(|tool| tool.name);
    names.flat_map(|name| [format!("\"{name}\""), format!("'{name}'")]).collect()
}

#[test]
fn the_engine_names_no_source_and_no_tool() {
    let source = tests::root().join("shared/engine/src");
    let mut read = 0;
    for (path, text) in ENGINE.iter().flat_map(|module| texts(&source.join(module))) {
        let name = path.strip_prefix(&source).expect("below").display().to_string();
        let lower = text.to_lowercase();
        for word in FOREIGN.iter().copied().map(str::to_owned).chain(tools()) {
            assert!(!lower.contains(&word), "{name} names {word}: what belongs to a source is its pipeline's");
        }
        assert!(!text.contains("query_key") || QUERY_KEY.contains(&name.as_str()), "{name} names query_key");
        read += 1;
    }
    assert!(read > 50, "the test reads the sources");
}

/// Inputs and cursors belong to the pipeline that wrote them, parameters to the tool: SQL never reads inside them.
#[test]
fn no_statement_looks_into_the_json_of_another_layer() {
    let root = tests::root();
    let mut all = texts(&root.join("shared/src"));
    all.extend(texts(&root.join("shared/engine/src")));
    all.extend(texts(&root.join("functions")));
    all.extend(texts(&root.join("cli/src")));
    all.extend(texts(&root.join("migrations")));
    for (path, text) in all {
        let name = path.strip_prefix(&root).expect("below").display().to_string();
        // This migration converts old rows once.
        if name.ends_with("0020_engine_without_sources.sql") {
            continue;
        }
        for column in ["input", "cursor", "params"] {
            for operator in ["->", "?", "#>"] {
                for between in ["", " "] {
                    let looks = format!("{column}{between}{operator} '");
                    let tight = format!("{column}{between}{operator}'");
                    assert!(!text.contains(&looks) && !text.contains(&tight), "{name} looks into {column}");
                    let as_text = format!("{column}{between}{operator}> '");
                    assert!(!text.contains(&as_text), "{name} looks into {column}");
                }
            }
        }
    }
}

#[tokio::test]
async fn no_index_names_a_tool() {
    let db = tests::engine::pool(1).await;
    let indexes: Vec<String> = sqlx::query_scalar("select indexdef from pg_indexes where schemaname = 'public'")
        .fetch_all(&db)
        .await
        .expect("listed");
    assert!(indexes.len() > 30, "the schema has indexes");
    for index in &indexes {
        assert!(!tools().iter().any(|tool| index.contains(tool.as_str())), "{index}");
    }
    let exclusive = indexes.iter().find(|index| index.contains("(exclusive_key)")).expect("one of exclusive keys");
    assert!(exclusive.contains("UNIQUE") && exclusive.contains("'queued'"), "{exclusive}");
}

/// A database with the schema before this change.
async fn before() -> PgPool {
    let db = PgPool::connect(&tests::databases::empty_database().await).await.expect("connects");
    let mut migrations: Vec<_> = db::MIGRATIONS.iter().cloned().collect();
    migrations.retain(|migration| migration.version < 20);
    Migrator::with_migrations(migrations).run(&db).await.expect("migrated");
    db
}

/// Inserts rows as programs of that schema wrote them.
async fn write(db: &PgPool, job: Uuid, unit: Uuid) {
    for sql in [
        "insert into ingestion_failures (job_id, unit_id, pmid, outcome, reason) values ($1, $2, '1004', 'failed', 'odd')",
        "insert into ingestion_failures (job_id, unit_id, pmid, outcome) values ($1, $2, null, 'failed')",
        "insert into quarantine (job_id, unit_id, n, pmid, source, reason, uri, api, as_of, file_number, position) \
         values ($1, $2, 7, '1004', 'pubmed26n0001.xml', 'odd', 'memory:///x', 'bulk_file', '2026-03-10T12:00:00.123456Z', \
                 260001, 7)",
    ] {
        sqlx::query(sql).bind(job).bind(unit).execute(db).await.expect("written");
    }
}

async fn check(db: &PgPool, job: Uuid) {
    let failures = ingest::failures(db, JobId(job), 0, 10).await.expect("listed").rows;
    let ids: Vec<_> = failures.iter().map(|one| (one.record_type.as_str(), one.record_id.as_deref())).collect();
    assert_eq!(ids, [("pubmed", Some("1004")), ("pubmed", None)]);
    let entries = ingest::quarantined(db, Some(job), 10).await.expect("listed");
    let shown = shared::sources::operator::QuarantinedRecord::of(&entries[0]);
    let shown = serde_json::to_value(shown).expect("JSON");
    for (field, value) in [
        ("pmid", json!("1004")),
        ("api", json!("bulk_file")),
        ("as_of", json!("2026-03-10T12:00:00.123456Z")),
        ("file_number", json!(260_001)),
        ("position", json!(7)),
    ] {
        assert_eq!(shown[field], value, "{shown}");
    }
}

#[tokio::test]
async fn rows_of_older_programs_are_keyed_by_record() {
    let db = before().await;
    let (job, later, unit) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let submit = "insert into jobs (id, tool, params, params_hash, principal, trace_id, deadline_at, query_key) \
                  values ($1, $2, $3, $1::text, 'local', 't', now() + interval '1 hour', $4)";
    for (id, tool, params, key) in [
        (job, "pubmed.sync.incremental", json!({ "query": "a", "query_key": "all" }), Some("all")),
        (later, "pubmed.sync", json!({ "query": "a", "query_key": "mine" }), None),
    ] {
        sqlx::query(submit).bind(id).bind(tool).bind(params).bind(key).execute(&db).await.expect("submitted");
    }
    sqlx::query("insert into ingestion_work_units (id, job_id, phase, seq, input) values ($1, $2, 'files', 1, $3)")
        .bind(unit)
        .bind(job)
        .bind(json!({ "name": "a.xml.gz" }))
        .execute(&db)
        .await
        .expect("planned");
    write(&db, job, unit).await;

    db::migrate(&db).await.expect("migrated");
    check(&db, job).await;
    let keys: Vec<(Option<String>, Option<String>)> =
        sqlx::query_as("select query_key, exclusive_key from jobs order by tool desc")
            .fetch_all(&db)
            .await
            .expect("read");
    let key = |text: &str| Some(text.to_owned());
    assert_eq!(keys, [(key("all"), key("all")), (key("mine"), None)]);
    let label: Value =
        sqlx::query_scalar("select to_jsonb(label) from ingestion_work_units").fetch_one(&db).await.expect("read");
    assert_eq!(label, json!("a.xml.gz"));

    // An older program that is still running.
    sqlx::query("delete from ingestion_failures").execute(&db).await.expect("emptied");
    sqlx::query("delete from quarantine").execute(&db).await.expect("emptied");
    write(&db, job, unit).await;
    check(&db, job).await;
}
