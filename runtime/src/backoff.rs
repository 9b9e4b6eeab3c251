//! When a crashed dyno is restarted.

use crate::limits::{RESTART_BACKOFF_FIRST, RESTART_BACKOFF_MAX, STABLE_AFTER};
use std::time::Duration;

/// Counts crashes in a row: the first restart is immediate, then the waits double.
///
/// Source: Heroku Dev Center, "Dyno crash restart policy".
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    crashes: u32,
}

impl Backoff {
    /// The wait before the restart after a crash of a dyno that had been up for `up`.
    pub(crate) fn after_crash(&mut self, up: Duration) -> Duration {
        if up >= STABLE_AFTER {
            self.crashes = 0;
        }
        let wait = match self.crashes {
            0 => Duration::ZERO,
            crashes => RESTART_BACKOFF_FIRST
                .saturating_mul(1 << (crashes - 1).min(10))
                .min(RESTART_BACKOFF_MAX),
        };
        self.crashes = self.crashes.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_the_waits_double_up_to_the_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..10)
            .map(|_| backoff.after_crash(Duration::ZERO).as_secs())
            .collect();
        assert_eq!(waits, [0, 20, 40, 80, 160, 320, 640, 1200, 1200, 1200]);
    }

    #[test]
    fn a_dyno_that_was_stable_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.after_crash(Duration::ZERO);
        }
        assert_eq!(backoff.after_crash(STABLE_AFTER), Duration::ZERO);
    }
}
