//! AWS settings of a fleet of functions: which services are emulated, and the queue.

use super::address::{is_local_url, is_safe_url};
use super::reader::Reader;

pub(super) struct FleetSettings {
    /// `BIO_MCP_JOBS_QUEUE_URL`
    pub(super) jobs_queue_url: Option<String>,
    /// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` is set.
    pub(super) has_s3_endpoint: bool,
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> FleetSettings {
    let mut endpoint = |name: &str| {
        let url = env.text(name);
        if url.as_deref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            env.errors.push(format!("{name} must start with https:// or http://"));
        }
        url.is_some()
    };
    let has_endpoint = endpoint("AWS_ENDPOINT_URL");
    let has_s3_endpoint = endpoint("AWS_ENDPOINT_URL_S3") || has_endpoint;
    let has_sqs_endpoint = endpoint("AWS_ENDPOINT_URL_SQS") || has_endpoint;
    let jobs_queue_url = env.text("BIO_MCP_JOBS_QUEUE_URL");
    // An emulator of AWS on the local network has no certificate; AWS itself is always called over TLS.
    let is_queue = |url: &str| is_safe_url(url) || (has_sqs_endpoint && is_local_url(url));
    if jobs_queue_url.as_deref().is_some_and(|url| !is_queue(url)) {
        let message = "BIO_MCP_JOBS_QUEUE_URL must be the https address of an SQS queue; http only on this machine, or, \
                       with AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_SQS, at a private address";
        env.errors.push(message.to_owned());
    }
    FleetSettings { jobs_queue_url, has_s3_endpoint }
}
