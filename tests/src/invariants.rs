//! Invariants of an idle system: queries that must find nothing.

use sqlx::{AssertSqlSafe, PgPool, Row};

const QUERIES: [(&str, &str); 12] = [
    ("I1 a terminal job has a live unit", "select j.id::text from jobs j join ingestion_work_units u on u.job_id = j.id
        where j.state in ('succeeded', 'failed', 'cancelled') and u.status in ('pending', 'claimed', 'processing')"),
    ("I2 a job is stranded", "select j.id::text from jobs j where j.state not in ('succeeded', 'failed', 'cancelled')
        and not exists (select from ingestion_work_units u where u.job_id = j.id and u.status in ('pending', 'claimed', 'processing'))"),
    ("I3 counters are not a recount", "select j.id::text from jobs j cross join lateral (
            select count(*) filter (where status = 'completed') d, count(*) filter (where status = 'failed') f, count(*) t
            from ingestion_work_units where job_id = j.id) r
        where (j.units_done, j.units_failed, j.units_total) is distinct from (r.d, r.f, r.t)"),
    ("I3b progress is not the sum of the units", "select j.id::text from jobs j cross join lateral (
            select coalesce(sum((tally ->> 'requested')::bigint), 0) n from ingestion_work_units where job_id = j.id) r
        where coalesce((j.progress ->> 'requested')::bigint, 0) <> r.n"),
    ("I4 outcomes do not sum to requested", "select id::text from jobs where result is not null and
        (result ->> 'archived')::bigint + (result ->> 'skipped')::bigint + (result ->> 'failed')::bigint
        + (result ->> 'deleted')::bigint + (result ->> 'missing')::bigint <> (result ->> 'requested')::bigint"),
    ("I7 a live pointer has no history row", "select a.pmid from pubmed_archive a
        left join pubmed_archive_history h using (pmid, content_hash) where a.content_hash is not null and h.pmid is null"),
    ("I8 a pointer is not its last event", "select a.pmid from pubmed_archive a left join lateral (
            select s3_uri from archive_events e where e.pmid = a.pmid order by seq desc limit 1) e on true
        where e.s3_uri is distinct from a.s3_uri"),
    ("I9 a digest is not that of its records", include_str!("../../shared/src/checkpoints/wrong.sql")),
    ("I10 a kept count is not that of the rows", "select 'counts' from archive_counts c cross join archive_counted r
        where (c.deleted, c.payloads, c.events) <> (r.deleted, r.payloads, r.events)"),
    ("I13 attempts are not bounded or a failed unit has no code", "select id::text from ingestion_work_units
        where retry_count > max_retries or (status = 'failed' and error_code is null)"),
    ("I16 a succeeded job has no manifest", "select id::text from jobs where state = 'succeeded' and result_ref is null"),
    ("I19 a connection is left in a transaction", "select pid::text from pg_stat_activity
        where datname = current_database() and state like 'idle in transaction%' and now() - state_change > interval '5 s'"),
];

/// Runs every query; the results name the broken invariants and the rows.
pub async fn broken(db: &PgPool) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, query) in QUERIES {
        let rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(db).await.expect("the query is valid");
        if !rows.is_empty() {
            let ids: Vec<String> = rows.iter().take(3).map(|row| row.get(0)).collect();
            broken.push(format!("{name}: {} rows, e.g. {}", rows.len(), ids.join(", ")));
        }
    }
    broken
}
