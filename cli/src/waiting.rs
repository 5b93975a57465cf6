//! Messages and timeouts while a user waits for NCBI.

use std::time::Duration;

use shared::config::Config;
use shared::deployment;
use shared::pubmed::eutils::EutilsSettings;

use crate::out;

/// How long a command waits before it prints a message.
const SILENCE: Duration = Duration::from_millis(1500);

/// Maximum wait for a request, all attempts included. Jobs wait longer.
const DEADLINE: Duration = Duration::from_secs(20);

/// Timeout of one attempt.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// Maximum number of attempts.
const ATTEMPTS: u32 = 4;

/// Settings for NCBI while a user waits.
pub fn eutils_settings(config: &Config) -> EutilsSettings {
    EutilsSettings {
        deadline: DEADLINE,
        request_timeout: REQUEST_TIMEOUT,
        attempts: ATTEMPTS,
        ..deployment::eutils_settings(config)
    }
}

/// Waits, and prints a message if it takes longer than `SILENCE`.
pub async fn for_ncbi<T>(request: impl Future<Output = T>) -> T {
    tokio::pin!(request);
    tokio::select! {
        response = &mut request => return response,
        () = tokio::time::sleep(SILENCE) => {}
    }
    out::note(format_args!("waiting for NCBI, at most {} s per request", DEADLINE.as_secs()));
    request.await
}
