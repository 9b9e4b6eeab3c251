//! The bound on what all guests of a host hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a host's guests may add to its memory. The owner measures; guests' growth counts until the next measurement.
#[derive(Debug)]
pub struct HostMemory {
    used: AtomicU64,
    limit: u64,
    refused: AtomicU64,
}

impl HostMemory {
    /// A bound of `limit` bytes, nothing of it used.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit,
            refused: AtomicU64::new(0),
        })
    }

    /// Bytes that were used at the last measurement, and those that guests were given since.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How many times a guest was refused memory for want of the host's.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Says what is really used now.
    pub fn measured(&self, bytes: u64) {
        self.used.store(bytes, Ordering::Relaxed);
    }

    /// Gives a guest `bytes` more, or refuses. Nothing is given back: the next measurement sees what became free.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            });
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_between_two_measurements_meets_the_bound() {
        let host = HostMemory::new(100);
        assert!(host.take(60));
        assert!(!host.take(41));
        assert!(host.take(40));
        assert_eq!((host.used(), host.refused()), (100, 1));
        host.measured(30);
        assert!(host.take(70));
    }
}
