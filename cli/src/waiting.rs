//! What a person is told while a command waits for NCBI.

use std::time::Duration;

use shared::config::Config;
use shared::deployment;
use shared::pubmed::eutils::EutilsSettings;

use crate::out;

/// How long a command is silent.
const SILENCE: Duration = Duration::from_millis(1500);

/// How long a person waits for the whole of a request, all attempts included. Jobs are more patient.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long for one attempt.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// Requests made before a command fails.
const ATTEMPTS: u32 = 4;

/// How NCBI is called while a person waits.
pub fn eutils_settings(config: &Config) -> EutilsSettings {
    EutilsSettings {
        deadline: DEADLINE,
        request_timeout: REQUEST_TIMEOUT,
        attempts: ATTEMPTS,
        ..deployment::eutils_settings(config)
    }
}

/// Waits, and says so when it takes longer than a moment.
pub async fn for_ncbi<T>(request: impl Future<Output = T>) -> T {
    tokio::pin!(request);
    tokio::select! {
        response = &mut request => return response,
        () = tokio::time::sleep(SILENCE) => {}
    }
    out::note(format_args!("waiting for NCBI, at most {} s per request", DEADLINE.as_secs()));
    request.await
}
