//! Counts of work on XML: tests measure how the work grows with the input, which a clock cannot. Not compiled into
//! releases.

#[cfg(feature = "count-work")]
thread_local! {
    static DONE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts steps: bytes read, comparisons, bytes copied.
#[cfg(feature = "count-work")]
pub fn add(steps: usize) {
    DONE.with(|done| done.set(done.get() + steps as u64));
}

/// Without the feature, does nothing.
#[cfg(not(feature = "count-work"))]
#[inline(always)]
pub fn add(_: usize) {}

/// The steps counted while `run` runs on this thread.
#[cfg(feature = "count-work")]
pub fn of(run: impl FnOnce()) -> u64 {
    let before = DONE.with(std::cell::Cell::get);
    run();
    DONE.with(std::cell::Cell::get) - before
}
