//! Named points at which a test kills the process. Not compiled into releases.

/// With the feature `crash-points`, kills this process (SIGKILL: no destructor runs) when `BIO_MCP_CRASH_AT` names this
/// point; `name:3` means the third time. Otherwise does nothing.
#[cfg(feature = "crash-points")]
#[expect(clippy::disallowed_methods, reason = "not a setting: only tests build this")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("BIO_MCP_CRASH_AT") else { return };
    let (place, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if place == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == time.parse().unwrap_or(1) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::thread::park();
    }
}

/// Without the feature, does nothing.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_: &str) {}
