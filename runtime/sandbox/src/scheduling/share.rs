//! A dyno's share of the guest threads: its weight, what it has used, and whether it is trusted on the edge.

use super::clock::{now_ms, thread_cpu_ns};
use super::run_queue::LineId;
use super::threads::Scheduler;
use crate::limits::{SUSPICION_DOUBLINGS_MAX, SUSPICION_WINDOW};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// One inline poll in this many is timed, and counts for all of them: reading the clock twice would cost a
/// third of a short call.
const SAMPLE: u32 = 16;

/// What the scheduler knows of one dyno.
pub struct CpuShare {
    pub(super) line: LineId,
    pub(super) scheduler: Arc<Scheduler>,
    used_ns: AtomicU64,
    /// Calls on trial.
    suspects: AtomicU32,
    /// How many times its window doubles at the next conviction.
    doublings: AtomicU32,
    /// Until when its calls start on the guest threads, in monotonic milliseconds; 0 for not at all.
    suspected_until_ms: AtomicU64,
    closed: AtomicBool,
}

impl CpuShare {
    pub(super) fn new(scheduler: Arc<Scheduler>, line: LineId) -> Self {
        Self {
            line,
            scheduler,
            used_ns: AtomicU64::new(0),
            suspects: AtomicU32::new(0),
            doublings: AtomicU32::new(0),
            suspected_until_ms: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// CPU time used under this share: exact on the guest threads, an estimate from samples elsewhere.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }

    /// Whether calls should start on the guest threads: one is on trial, or one was found guilty lately.
    pub fn is_suspected(&self) -> bool {
        if self.suspects.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let until = self.suspected_until_ms.load(Ordering::Relaxed);
        until != 0 && until > now_ms()
    }

    /// Ends everything that runs under this share. Nothing runs under it afterwards.
    pub fn end(&self) {
        self.closed.store(true, Ordering::Release);
        self.scheduler.cut_off_all(self);
    }

    /// Ends everything that runs under this share now. More may run under it afterwards.
    pub fn end_running(&self) {
        self.scheduler.cut_off_all(self);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn charge(&self, used_ns: u64) {
        self.used_ns.fetch_add(used_ns, Ordering::Relaxed);
    }

    pub(super) fn try_call(&self) {
        self.suspects.fetch_add(1, Ordering::Relaxed);
    }

    /// The verdict of one trial.
    pub(super) fn judge(&self, guilty: bool) {
        if guilty {
            let doublings = self.doublings.load(Ordering::Relaxed);
            let window = SUSPICION_WINDOW * (1 << doublings.min(SUSPICION_DOUBLINGS_MAX));
            self.doublings.store(
                (doublings + 1).min(SUSPICION_DOUBLINGS_MAX),
                Ordering::Relaxed,
            );
            let until = now_ms() + super::clock::millis(window);
            self.suspected_until_ms.store(until, Ordering::Relaxed);
        }
        self.suspects.fetch_sub(1, Ordering::Relaxed);
    }

    /// A call ended on the edge within its budget.
    pub(super) fn behaved(&self) {
        let doublings = self.doublings.load(Ordering::Relaxed);
        if doublings != 0 {
            self.doublings.store(doublings - 1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn doublings(&self) -> u32 {
        self.doublings.load(Ordering::Relaxed)
    }

    /// Runs something on this thread and, now and then, measures it.
    pub(super) fn sampled<R>(&self, work: impl FnOnce() -> R) -> R {
        if !is_sampled() {
            return work();
        }
        let before = thread_cpu_ns();
        let result = work();
        self.charge((thread_cpu_ns() - before) * u64::from(SAMPLE));
        result
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        self.scheduler.close_line(self.line);
    }
}

impl fmt::Debug for CpuShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CpuShare")
            .field("used", &self.used())
            .field("suspected", &self.is_suspected())
            .finish_non_exhaustive()
    }
}

/// True once in [`SAMPLE`] times, at random: with a counter, dynos whose requests alternate would be
/// measured always or never.
fn is_sampled() -> bool {
    thread_local! {
        static RANDOM: Cell<u32> = const { Cell::new(0x9E37_79B9) };
    }
    RANDOM.with(|random| {
        // xorshift32, whose period is every state but 0.
        let mut state = random.get();
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        random.set(state);
        state.is_multiple_of(SAMPLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_poll_in_sixteen_is_sampled() {
        let sampled = (0..16_000).filter(|_| is_sampled()).count();
        assert!((800..=1200).contains(&sampled), "{sampled}");
    }
}
