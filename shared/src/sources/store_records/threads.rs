//! Threads for CPU-bound work: as many as there are processors, however many units run at the same time.

use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// With more threads, storing the results is the bottleneck.
const MAX_THREADS: usize = 8;

static POOL: LazyLock<ThreadPool> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(MAX_THREADS);
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("compute-{n}")).build();
    pool.expect("the system lets a process start a few threads")
});

/// Runs parallel iterators on these threads; the runtime moves the other tasks of the waiting thread to another one.
pub(super) fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    tokio::task::block_in_place(|| POOL.install(work))
}
