//! The memory a dyno may hold: one account for all its instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::ResourceLimiter;

/// Bytes in use by all instances of one dyno, and their bound.
#[derive(Debug)]
pub struct MemoryAccount {
    used: AtomicU64,
    limit: u64,
    refused: AtomicU64,
}

impl MemoryAccount {
    /// An empty account with a bound of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit,
            refused: AtomicU64::new(0),
        })
    }

    /// Bytes of linear memory in use now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How many times a guest asked for more than its bound (Heroku's R14).
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
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

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One store's share of an account; gives everything back when the store is dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    account: Arc<MemoryAccount>,
    held: u64,
}

impl MemoryShare {
    pub(crate) fn new(account: Arc<MemoryAccount>) -> Self {
        Self { account, held: 0 }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.account.give_back(self.held);
    }
}

impl ResourceLimiter for MemoryShare {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current) as u64;
        if self.account.take(more) {
            self.held += more;
            Ok(true)
        } else {
            Ok(false)
        }
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= crate::limits::TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        crate::limits::CORE_INSTANCES_PER_COMPONENT_MAX as usize
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_a_dyno_share_one_bound() {
        let account = MemoryAccount::new(100);
        let mut first = MemoryShare::new(account.clone());
        let mut second = MemoryShare::new(account.clone());
        assert!(first.memory_growing(0, 60, None).unwrap());
        assert!(second.memory_growing(0, 40, None).unwrap());
        assert!(!second.memory_growing(40, 41, None).unwrap());
        assert_eq!((account.used(), account.refused()), (100, 1));
        drop(first);
        assert_eq!(account.used(), 40);
    }
}
