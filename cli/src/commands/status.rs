//! `status`: contents of the archive and current activity.

use serde_json::json;
use shared::core::clock;
use shared::db::clock::{Correction, corrections};
use shared::projections::{self, Lag, lag};
use shared::records::summary;
use shared::syncs::{self, RetryRow, SyncQuery};

use super::topics::failure_text;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::{Session, archive_location};

pub async fn run(session: &Session, json: bool) -> Result<Exit, CliError> {
    let summary = summary(session.db()).await?;
    let workers = session.living_workers().await?.count();
    let archive = archive_location(&session.config, &session.data_dir);
    let queries = syncs::queries(session.db()).await?;
    let (retries, retries_total) = syncs::retry_list(session.db(), 20).await?;
    let corrections = corrections(session.db(), 10).await?;
    let lags = lag(session.db(), &projections::all()).await?;
    if json {
        let mut output = json!({
            "data_dir": session.data_dir.path(), "archive": archive, "workers": workers,
            "queries": queries.iter().map(|query| {
                let mut row = json!(query);
                row["lag_secs"] = json!(query.lag(clock::now()).map(|lag| lag.num_seconds()));
                row
            }).collect::<Vec<_>>(),
            "retry_list": retries, "retry_total": retries_total, "clock_corrections": corrections,
            "projections": lags,
        });
        if let (Some(output), Ok(serde_json::Value::Object(fields))) =
            (output.as_object_mut(), serde_json::to_value(&summary))
        {
            output.extend(fields);
        }
        out::json(&output)?;
        return Ok(Exit::Done);
    }
    let database = if session.postgres().is_some() { "private Postgres" } else { "BIO_MCP_DATABASE_URL" };
    let when = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or("never".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
    };
    for (name, value) in [
        ("archive", archive),
        ("database", database.to_owned()),
        ("records", format!("{} live, {} deleted", out::count(summary.live), out::count(summary.deleted))),
        ("payloads", format!("{} distinct, {}", out::count(summary.payloads), out::counted(summary.events, "change"))),
        ("last change", when(summary.last_change_at)),
        ("change feed", lags.iter().map(lag_text).collect::<Vec<_>>().join("; ")),
        ("jobs", format!("{} queued, {} running", summary.jobs_queued, summary.jobs_running)),
        ("workers", workers.to_string()),
        ("quarantine", out::counted(summary.quarantined, "record")),
    ] {
        out::line(&format!("{name:<12} {value}"))?;
    }
    show_queries(&queries)?;
    show_failures(&queries)?;
    show_retries(&retries, retries_total)?;
    show_corrections(&corrections)?;
    Ok(Exit::Done)
}

/// The position of a projection, for people.
fn lag_text(lag: &Lag) -> String {
    let rebuild = lag.rebuilt_seq.map(|seq| format!(", rebuilt up to event {seq}")).unwrap_or_default();
    match lag.events_behind {
        0 => format!("current at event {}{rebuild}", lag.last_seq),
        behind => format!("{} behind{rebuild}", out::counted(behind, "event")),
    }
}

fn show_queries(queries: &[SyncQuery]) -> Result<(), CliError> {
    if queries.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = queries
        .iter()
        .map(|query| {
            let at = |mark: Option<chrono::DateTime<chrono::Utc>>| {
                mark.map_or("-".to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string())
            };
            let lag = query.lag(clock::now()).map_or_else(
                || without_lag(query).to_owned(),
                |lag| match lag.num_hours() {
                    0 => format!("{} min", lag.num_minutes()),
                    hours @ 1..72 => format!("{hours} h"),
                    hours => format!("{} days", hours / 24),
                },
            );
            let lag = if query.resume.is_some() { format!("{lag}, stopped by a limit") } else { lag };
            let text: String = query.query.chars().take(60).collect();
            vec![
                out::plain(&query.query_key),
                at(query.watermarks.entry),
                at(query.watermarks.modification),
                at(query.watermarks.creation),
                lag,
                out::count(query.members),
                query.upstream_count.map_or("-".to_owned(), out::count),
                out::plain(&text),
            ]
        })
        .collect();
    out::line("")?;
    let heads = ["query key", "entered until", "changed until", "created until", "lag", "records", "at NCBI", "query"];
    out::table(&heads, &rows)?;
    show_gaps(queries)
}

/// Shows what did not add up in the last runs: such a gap holds back the watermarks.
fn show_gaps(queries: &[SyncQuery]) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = queries
        .iter()
        .flat_map(|query| query.gaps.iter().map(move |gap| (query, gap)))
        .map(|(query, gap)| {
            let day = |day: Option<chrono::NaiveDate>| day.map_or("-".to_owned(), |day| day.to_string());
            vec![
                out::plain(&query.query_key),
                gap.field.map_or("whole query", |field| field.as_str()).to_owned(),
                day(gap.from),
                day(gap.to),
                gap.counted.to_string(),
                gap.listed.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    out::line("\nNCBI's counts and lists differ; listed again by the next run:")?;
    out::table(&["query key", "date", "from", "to", "counted", "listed"], &rows)
}

/// Why a query has no watermarks yet.
fn without_lag(query: &SyncQuery) -> &'static str {
    match (query.failed_runs, query.last_run_at) {
        (1.., _) => "incomplete: the last run failed",
        (_, Some(_)) => "incomplete",
        (_, None) => "never synced",
    }
}

fn show_failures(queries: &[SyncQuery]) -> Result<(), CliError> {
    let failed = queries.iter().filter(|query| query.failed_runs > 0);
    let rows: Vec<Vec<String>> = failed
        .filter_map(|query| {
            let failure = query.last_failure.as_ref()?;
            Some(vec![out::plain(&query.query_key), failure_text(failure, query.failed_runs)])
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    out::line("")?;
    out::table(&["query key", "last failure"], &rows)
}

fn show_corrections(corrections: &[Correction]) -> Result<(), CliError> {
    if corrections.is_empty() {
        return Ok(());
    }
    let minute = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    let rows: Vec<Vec<String>> = corrections
        .iter()
        .map(|one| {
            let set_to = one.set_to.map_or("none".to_owned(), minute);
            vec![one.what.clone(), out::plain(&one.name), minute(one.was), set_to, minute(one.found_at)]
        })
        .collect();
    out::line("\na clock was ahead: the times it wrote were corrected")?;
    out::table(&["what", "of", "was", "is", "found"], &rows)
}

fn show_retries(retries: &[RetryRow], total: i64) -> Result<(), CliError> {
    if retries.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = retries
        .iter()
        .map(|row| {
            vec![
                out::plain(&row.query_key),
                row.pmid.clone(),
                row.attempts.to_string(),
                row.first_failed_at.format("%Y-%m-%d %H:%M").to_string(),
                out::plain(&row.reason),
            ]
        })
        .collect();
    out::line(&format!("\nto be retried by the next run: {}", out::counted(total, "record")))?;
    out::table(&["query key", "pmid", "tries", "first failed", "reason"], &rows)
}
