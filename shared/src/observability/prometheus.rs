//! Metrics for a scraper, in the Prometheus text format.

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::layers::{Layer as _, Prefix, PrefixLayer};

use crate::core::metrics::{Gauge, describe};

/// Upper bounds of the latency buckets, from reads in memory to the time limit of API Gateway.
const LATENCY_BUCKETS_MS: [f64; 14] =
    [1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0];

/// How often measured values are moved into their buckets, where they take no more memory.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Prefix of every metric name.
static PREFIX: LazyLock<PrefixLayer> = LazyLock::new(|| PrefixLayer::new("bio_mcp"));

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

fn recorder() -> (Prefix<PrometheusRecorder>, PrometheusHandle) {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("bio_mcp_latency_ms".to_owned()), &LATENCY_BUCKETS_MS)
        .expect("there are buckets");
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    (PREFIX.layer(recorder), handle)
}

/// Records metrics from now on.
pub(super) fn install() {
    let (recorder, handle) = recorder();
    // Fails if there is a recorder already, as in tests.
    if metrics::set_global_recorder(recorder).is_err() {
        return;
    }
    describe();
    let kept = HANDLE.get_or_init(|| handle);
    let upkeep = || loop {
        std::thread::sleep(UPKEEP_INTERVAL);
        kept.run_upkeep();
    };
    // If the thread cannot be started, each scrape does the same.
    let _ = std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep);
}

/// What was recorded, if this process records, and these values.
pub fn prometheus(gauges: &[Gauge]) -> String {
    let mut text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    // Current values: a value that is not given is not repeated from an earlier scrape.
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        for (name, labels, value) in gauges {
            gauge!(*name, labels).set(*value);
        }
    });
    text.push_str(&handle.render());
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::metrics;
    use crate::core::{ErrorCode, outcome::Tally};

    fn recorded() -> String {
        let (recorder, handle) = recorder();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::records(&Tally { archived: 2, ..Tally::default() });
            metrics::job_ended("pubmed.ingest_files", true);
            metrics::error("pubmed.ingest_files", ErrorCode::ArchiveError);
            for ms in [0, 3, 40, 40, 9_000, 60_000] {
                metrics::request("ping", true, Duration::from_millis(ms));
            }
        });
        handle.render()
    }

    #[test]
    fn every_line_has_the_prefix_and_every_metric_its_help_and_type() {
        let text = recorded() + &prometheus(&[("breaker_open", vec![("dependency", "ncbi".to_owned())], 1.0)]);
        for line in [
            "# TYPE bio_mcp_records_total counter",
            "bio_mcp_records_total{outcome=\"archived\"} 2",
            "bio_mcp_errors_total{tool=\"pubmed.ingest_files\",error_code=\"ARCHIVE_ERROR\"} 1",
            "bio_mcp_jobs_succeeded_total 1",
            "# TYPE bio_mcp_latency_ms histogram",
            "# TYPE bio_mcp_breaker_open gauge",
            "bio_mcp_breaker_open{dependency=\"ncbi\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        }
        let named = |kind: &str| -> BTreeSet<&str> {
            text.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next()).collect()
        };
        assert_eq!(named("# TYPE "), named("# HELP "));
        for line in text.lines().filter(|line| !line.is_empty()) {
            let name = line.trim_start_matches("# TYPE ").trim_start_matches("# HELP ");
            assert!(name.starts_with("bio_mcp_"), "{line}");
        }
    }

    #[test]
    fn latencies_are_a_histogram_of_milliseconds() {
        let text = recorded();
        let bucket = |bound: &str| {
            let start = format!("bio_mcp_latency_ms_bucket{{tool=\"ping\",le=\"{bound}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(-1)
        };
        let cumulative = [("1", 1), ("2.5", 1), ("5", 2), ("25", 2), ("50", 4), ("5000", 4), ("10000", 5), ("+Inf", 6)];
        for (bound, count) in cumulative {
            assert_eq!(bucket(bound), count, "{bound}:\n{text}");
        }
        assert!(text.contains("bio_mcp_latency_ms_count{tool=\"ping\"} 6\n"), "{text}");
        assert!(text.contains("bio_mcp_latency_ms_sum{tool=\"ping\"} 69083"), "{text}");
    }

    #[test]
    fn a_gauge_is_of_this_moment_only() {
        let progress = |tool: &str| ("progress_pct", vec![("tool", tool.to_owned())], 5.0);
        assert!(prometheus(&[progress("one")]).contains("bio_mcp_progress_pct{tool=\"one\"} 5\n"));
        assert!(!prometheus(&[progress("two")]).contains("one"));
        assert_eq!(prometheus(&[]), "");
    }
}
