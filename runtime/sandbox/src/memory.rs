//! The memory a dyno may hold: one account for all its instances.

use crate::host_memory::HostMemory;
use crate::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use wasmtime::ResourceLimiter;

/// How an account stands to its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryPressure {
    /// Within the quota.
    Within,
    /// Over the quota (Heroku's R14): nothing is refused yet.
    Over,
    /// Something went past the limit (R15): no guest of this account may go on.
    Exceeded,
}

/// Bytes that one dyno holds: linear memories and tables of its instances, what the host holds for them, and what they
/// wrote to files.
#[derive(Debug)]
pub struct MemoryAccount {
    used: AtomicU64,
    quota: u64,
    limit: u64,
    /// Whether to ask for more than the limit ends the guest, or is answered with no.
    ends: bool,
    /// Bytes that were too many; 0 while none were.
    exceeded_at: AtomicU64,
    pressure: watch::Sender<MemoryPressure>,
    /// What all dynos of the host share, where it has a bound.
    host: Option<Arc<HostMemory>>,
}

impl MemoryAccount {
    /// An account with Heroku's two lines: over `quota` bytes it is under pressure, and what goes past twice the
    /// quota ends the guest.
    pub fn new(quota: u64) -> Arc<Self> {
        Self::within(None, quota)
    }

    /// The same, within what the host has for all its dynos.
    pub fn within(host: Option<Arc<HostMemory>>, quota: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            quota,
            limit: quota.saturating_mul(limits::MEMORY_LIMIT_QUOTAS),
            ends: true,
            exceeded_at: AtomicU64::new(0),
            pressure: watch::Sender::new(MemoryPressure::Within),
            host,
        })
    }

    /// An account with one line: a guest that asks for more than `limit` bytes does not get them.
    pub fn strict(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            quota: limit,
            limit,
            ends: false,
            exceeded_at: AtomicU64::new(0),
            pressure: watch::Sender::new(MemoryPressure::Within),
            host: None,
        })
    }

    /// Bytes in use now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The quota, in bytes.
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// Tells of every crossing of a line.
    pub fn watch(&self) -> watch::Receiver<MemoryPressure> {
        self.pressure.subscribe()
    }

    /// Resolves when the guest must end.
    pub fn wait_exceeded(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut pressure = self.watch();
        async move {
            let exceeded = |pressure: &MemoryPressure| *pressure == MemoryPressure::Exceeded;
            if pressure.wait_for(exceeded).await.is_err() {
                // Nobody is left who could take more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the guest must end.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded_at() > 0
    }

    /// Bytes that were too many when the limit was passed; 0 while it was not.
    pub fn exceeded_at(&self) -> u64 {
        self.exceeded_at.load(Ordering::Relaxed)
    }

    /// Takes bytes that the guest asked for, unless they go past the limit.
    fn take(&self, bytes: u64) -> bool {
        if self.is_exceeded() {
            return false;
        }
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            });
        let before = match taken {
            Ok(before) => before,
            Err(before) => {
                self.exceed(before.saturating_add(bytes));
                return false;
            }
        };
        self.tell(before, before + bytes);
        let host_has_it = self.host.as_ref().is_none_or(|host| host.take(bytes));
        if !host_has_it {
            self.give_back(bytes);
        }
        host_has_it
    }

    /// Counts bytes that are held already.
    pub(crate) fn charge(&self, bytes: u64) {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        self.tell(before, after);
        if after > self.limit {
            self.exceed(after);
        }
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.tell(before, before.saturating_sub(bytes));
    }

    fn exceed(&self, bytes: u64) {
        let first = |at: &AtomicU64| {
            at.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if self.ends && first(&self.exceeded_at) {
            self.pressure.send_replace(MemoryPressure::Exceeded);
        }
    }

    fn tell(&self, before: u64, after: u64) {
        if (before > self.quota) == (after > self.quota) {
            return;
        }
        self.pressure.send_if_modified(|pressure| {
            if *pressure == MemoryPressure::Exceeded {
                return false;
            }
            // What is true now, and not what this change made of it: another may have come in between.
            *pressure = if self.used() > self.quota {
                MemoryPressure::Over
            } else {
                MemoryPressure::Within
            };
            true
        });
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
        account.charge(limits::HOST_BYTES_PER_INSTANCE);
        Self {
            account,
            held: limits::HOST_BYTES_PER_INSTANCE,
        }
    }

    fn grow(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        if self.account.take(bytes) {
            self.held += bytes;
            return Ok(true);
        }
        if self.account.is_exceeded() {
            // Not a no, which a guest could survive: its dyno is over.
            return Err(wasmtime::format_err!("memory quota vastly exceeded (R15)"));
        }
        Ok(false)
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
        self.grow(desired.saturating_sub(current) as u64)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS_MAX || maximum.is_some_and(|maximum| desired > maximum)
        {
            return Ok(false);
        }
        let elements = desired.saturating_sub(current) as u64;
        self.grow(elements * limits::TABLE_ELEMENT_BYTES)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_PER_COMPONENT_MAX as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES_PER_COMPONENT_MAX as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_PER_COMPONENT_MAX as usize
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OWN: u64 = limits::HOST_BYTES_PER_INSTANCE;

    fn size(bytes: u64) -> usize {
        usize::try_from(bytes).unwrap()
    }

    #[test]
    fn instances_of_a_dyno_share_one_quota_and_end_at_twice_it() {
        let account = MemoryAccount::new(100 + 2 * OWN);
        let pressure = account.watch();
        let mut first = MemoryShare::new(account.clone());
        let mut second = MemoryShare::new(account.clone());
        assert!(first.memory_growing(0, 60, None).unwrap());
        assert!(second.memory_growing(0, 40, None).unwrap());
        assert_eq!(*pressure.borrow(), MemoryPressure::Within);
        assert!(second.memory_growing(40, 41, None).unwrap());
        assert_eq!(*pressure.borrow(), MemoryPressure::Over);
        assert!(
            second
                .memory_growing(41, 40 + size(account.quota()), None)
                .unwrap()
        );
        assert!(!account.is_exceeded());
        assert!(first.memory_growing(60, 61, None).is_err());
        assert_eq!(*pressure.borrow(), MemoryPressure::Exceeded);
        assert!(
            second.memory_growing(0, 1, None).is_err(),
            "no instance goes on"
        );
        drop((first, second));
        assert_eq!(account.used(), 0);
        assert!(account.is_exceeded());
    }

    #[test]
    fn pressure_ends_when_memory_is_given_back() {
        let account = MemoryAccount::new(2 * OWN);
        let pressure = account.watch();
        let mut share = MemoryShare::new(account.clone());
        assert!(share.memory_growing(0, size(OWN) + 1, None).unwrap());
        assert_eq!(*pressure.borrow(), MemoryPressure::Over);
        drop(share);
        assert_eq!(*pressure.borrow(), MemoryPressure::Within);
    }

    #[test]
    fn tables_count_and_a_strict_account_says_no() {
        let account = MemoryAccount::strict(OWN + 10 * limits::TABLE_ELEMENT_BYTES);
        let mut share = MemoryShare::new(account.clone());
        assert!(share.table_growing(0, 10, None).unwrap());
        assert!(!share.table_growing(10, 11, None).unwrap());
        assert!(!share.memory_growing(0, 1, None).unwrap());
        assert!(!account.is_exceeded());
    }
}
