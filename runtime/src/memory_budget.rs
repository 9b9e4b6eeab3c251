//! The memory that a host may use: measured, kept free by putting quiet dynos to rest, and never let past its bound.
//!
//! What counts is what the kernel's out-of-memory killer counts: this process's anonymous memory. Guests' linear
//! memories would be ten times too much, because most of an interpreter's is pages of a file. Between two looks,
//! what guests add to their memories is added to what was measured, so that nobody outruns the looks.

use crate::mapped::Mapped;
use crate::warm::Warm;
use dyno_sandbox::HostMemory;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// How often the memory is looked at, where there is a bound.
pub(crate) const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// Looks that a dyno which wants to start waits for room.
const LOOKS_BEFORE_REFUSAL: u32 = 5;
/// Above these parts of the bound quiet dynos are put to rest, and then nobody new is let in: room for what those at
/// work still want.
const REST_ABOVE_PERCENT: u64 = 85;
const ADMIT_BELOW_PERCENT: u64 = 95;
/// A look at the longest quiet puts this part of the warm dynos to rest, at least one.
const REST_PART: usize = 8;

/// A host's bound, if it has one.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget {
    host: Option<Arc<HostMemory>>,
    measure: fn() -> Option<u64>,
}

impl MemoryBudget {
    /// `bytes_max` — of anonymous memory; `None` is no bound.
    pub(crate) fn new(bytes_max: Option<u64>) -> Self {
        let host = bytes_max.map(HostMemory::new);
        if let (Some(host), Some(bytes)) = (&host, anonymous_bytes()) {
            host.measured(bytes);
        }
        Self {
            host,
            measure: anonymous_bytes,
        }
    }

    /// What dynos' memory accounts are charged to as well.
    pub(crate) fn host(&self) -> Option<&Arc<HostMemory>> {
        self.host.as_ref()
    }

    /// Measures, and puts quiet dynos to rest where little is left.
    pub(crate) fn look(&self, warm: &Warm, mapped: &Mapped) {
        let Some(host) = &self.host else {
            return;
        };
        if let Some(bytes) = (self.measure)() {
            host.measured(bytes);
        }
        if host.used() > part(host.limit(), REST_ABOVE_PERCENT) {
            let resting = warm.rest_longest_quiet((warm.count() / REST_PART).max(1));
            if resting == 0 {
                mapped.evict_unused();
            }
        }
    }

    /// Waits for room for a dyno that wants to start; false when there is none.
    pub(crate) async fn has_room(&self, warm: &Warm, mapped: &Mapped) -> bool {
        let Some(host) = &self.host else {
            return true;
        };
        for _ in 0..LOOKS_BEFORE_REFUSAL {
            if host.used() < part(host.limit(), ADMIT_BELOW_PERCENT) {
                return true;
            }
            self.look(warm, mapped);
            tokio::time::sleep(LOOK_PERIOD).await;
        }
        false
    }
}

fn part(of: u64, percent: u64) -> u64 {
    of / 100 * percent
}

/// This process's anonymous memory, as the kernel counts it for its out-of-memory killer.
pub(crate) fn anonymous_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warm::Rest;
    use std::sync::Weak;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Bytes that the scripted host uses: a hundred for each dyno that has not been put to rest.
    static USED: AtomicU64 = AtomicU64::new(0);

    struct Scripted(AtomicU64);

    impl Rest for Scripted {
        fn quiet_for(&self) -> Option<Duration> {
            Some(Duration::from_secs(1))
        }

        fn may_rest(&self) -> bool {
            self.0.load(Ordering::Relaxed) > 0
        }

        fn rest(&self) {
            USED.fetch_sub(self.0.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn quiet_dynos_make_room_and_without_any_nobody_is_let_in() {
        let (warm, mapped) = (Warm::default(), Mapped::new(1));
        let budget = MemoryBudget {
            host: Some(HostMemory::new(1_000)),
            measure: || Some(USED.load(Ordering::Relaxed)),
        };
        let dynos: Vec<_> = (0..10)
            .map(|_| Arc::new(Scripted(AtomicU64::new(100))))
            .collect();
        let _places: Vec<_> = dynos
            .iter()
            .map(|dyno| {
                let dyno: Weak<dyn Rest> = Arc::<Scripted>::downgrade(dyno);
                warm.enter(dyno)
            })
            .collect();
        USED.store(1_000, Ordering::Relaxed);
        budget.look(&warm, &mapped);
        assert_eq!(USED.load(Ordering::Relaxed), 900, "one of ten went");
        assert!(budget.has_room(&warm, &mapped).await);
        // All that is used is of dynos at work.
        for dyno in &dynos {
            dyno.0.store(0, Ordering::Relaxed);
        }
        USED.store(990, Ordering::Relaxed);
        budget.look(&warm, &mapped);
        assert!(!budget.has_room(&warm, &mapped).await);
        // Without a bound there is always room.
        assert!(MemoryBudget::new(None).has_room(&warm, &mapped).await);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(anonymous_bytes() > Some(100_000));
    }
}
