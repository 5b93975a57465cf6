//! Work on XML, counted: tests say by it how the work grows with its input, which no clock can. Nothing in a release.

#[cfg(feature = "count-work")]
thread_local! {
    static DONE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts steps: bytes that were looked at, comparisons, bytes that were copied.
#[cfg(feature = "count-work")]
pub fn add(steps: usize) {
    DONE.with(|done| done.set(done.get() + steps as u64));
}

/// Does nothing.
#[cfg(not(feature = "count-work"))]
#[inline(always)]
pub fn add(_: usize) {}

/// The steps that `run` takes on this thread.
#[cfg(feature = "count-work")]
pub fn of(run: impl FnOnce()) -> u64 {
    let before = DONE.with(std::cell::Cell::get);
    run();
    DONE.with(std::cell::Cell::get) - before
}
