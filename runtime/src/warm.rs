//! The dynos that hold instances, and one sweeper for all of them that puts the quiet ones to rest.
//!
//! An idle dyno is in no list and has no timer: ten thousand of them cost this module nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What can be put to rest.
pub(crate) trait Rest: Send + Sync {
    /// For how long nothing has been asked of it; `None` while it works.
    fn quiet_for(&self) -> Option<Duration>;
    /// Whether it may be put to rest at all.
    fn may_rest(&self) -> bool;
    /// Asks it to drop its instances. Whatever it was asked in the meantime wins.
    fn rest(&self);
}

/// The warm dynos of a host.
#[derive(Clone, Default)]
pub(crate) struct Warm {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    dynos: Mutex<HashMap<u64, Weak<dyn Rest>>>,
    next: AtomicU64,
}

/// A dyno's place among the warm; it leaves when this is dropped.
pub(crate) struct WarmPlace {
    warm: Warm,
    number: u64,
}

impl Warm {
    /// Counts a dyno in.
    pub(crate) fn enter(&self, dyno: Weak<dyn Rest>) -> WarmPlace {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        self.dynos().insert(number, dyno);
        WarmPlace {
            warm: self.clone(),
            number,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.dynos().len()
    }

    /// Puts those to rest that were quiet for `idle_after`.
    pub(crate) fn rest_quiet(&self, idle_after: Duration) {
        for (quiet, dyno) in self.quiet() {
            if quiet >= idle_after {
                dyno.rest();
            }
        }
    }

    /// Puts up to `count` dynos to rest that do nothing now, the longest quiet first; answers how many it asked.
    pub(crate) fn rest_longest_quiet(&self, count: usize) -> usize {
        let mut quiet = self.quiet();
        quiet.sort_by_key(|(quiet, _)| std::cmp::Reverse(*quiet));
        quiet.truncate(count);
        for (_, dyno) in &quiet {
            dyno.rest();
        }
        quiet.len()
    }

    fn quiet(&self) -> Vec<(Duration, Arc<dyn Rest>)> {
        let dynos: Vec<_> = self.dynos().values().filter_map(Weak::upgrade).collect();
        dynos
            .into_iter()
            .filter(|dyno| dyno.may_rest())
            .filter_map(|dyno| Some((dyno.quiet_for()?, dyno)))
            .collect()
    }

    fn dynos(&self) -> MutexGuard<'_, HashMap<u64, Weak<dyn Rest>>> {
        self.inner
            .dynos
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WarmPlace {
    fn drop(&mut self) {
        self.warm.dynos().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scripted {
        quiet: Option<u64>,
        may_rest: bool,
        asked: AtomicU64,
    }

    impl Rest for Scripted {
        fn quiet_for(&self) -> Option<Duration> {
            self.quiet.map(Duration::from_secs)
        }

        fn may_rest(&self) -> bool {
            self.may_rest
        }

        fn rest(&self) {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_longest_quiet_rest_first_and_never_those_at_work_or_always_on() {
        let warm = Warm::default();
        let dynos: Vec<_> = [
            (Some(5), true),
            (None, true),
            (Some(90), false),
            (Some(60), true),
            (Some(7), true),
        ]
        .into_iter()
        .map(|(quiet, may_rest)| {
            Arc::new(Scripted {
                quiet,
                may_rest,
                asked: AtomicU64::new(0),
            })
        })
        .collect();
        let mut places: Vec<_> = dynos
            .iter()
            .map(|dyno| {
                let dyno: Weak<dyn Rest> = Arc::<Scripted>::downgrade(dyno);
                warm.enter(dyno)
            })
            .collect();
        let asked = || -> Vec<u64> {
            dynos
                .iter()
                .map(|dyno| dyno.asked.load(Ordering::Relaxed))
                .collect()
        };
        warm.rest_quiet(Duration::from_secs(60));
        assert_eq!(asked(), [0, 0, 0, 1, 0]);
        assert_eq!(warm.rest_longest_quiet(2), 2);
        assert_eq!(asked(), [0, 0, 0, 2, 1]);
        assert_eq!(warm.rest_longest_quiet(9), 3);
        places.clear();
        assert_eq!(warm.count(), 0);
    }
}
