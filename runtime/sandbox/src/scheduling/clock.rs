//! The clocks of scheduling: ticks that cost nothing to read, and the CPU time of this thread.

use crate::limits::EPOCH_TICK;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static TICKS: AtomicU64 = AtomicU64::new(0);

/// Ticks so far, as the epoch threads last said. Reading the real clock costs 25 ns, and every call asks.
pub(crate) fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Brings [`ticks`] up to date; the epoch threads call it before they advance their engines.
pub(crate) fn advance() {
    let elapsed = start().elapsed().as_nanos() / EPOCH_TICK.as_nanos();
    TICKS.fetch_max(
        u64::try_from(elapsed).unwrap_or(u64::MAX),
        Ordering::Relaxed,
    );
}

/// Monotonic milliseconds, never 0. No wall clock is read anywhere in scheduling: setting it changes nothing.
pub(super) fn now_ms() -> u64 {
    millis(start().elapsed()) + 1
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Nanoseconds of CPU that this thread has used. A real system call: 0.66 µs.
pub(super) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds * 1_000_000_000 + nanoseconds
}
