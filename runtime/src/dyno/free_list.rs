//! The free instances of a dyno, divided so that threads which take and give back do not meet.

use dyno_sandbox::current_shard;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts of a list at most; more threads than that share them.
const PARTS_MAX: usize = 16;

/// Instances that wait for a request. Each thread has a part of its own, and looks into the others' only when that
/// is empty: even a contended lock is cheaper than a new instance.
pub(super) struct FreeList<T> {
    parts: Box<[Part<T>]>,
}

/// A cache line of its own.
#[repr(align(64))]
struct Part<T>(Mutex<Vec<T>>);

impl<T> FreeList<T> {
    pub(super) fn new(first: T) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::divided(threads.min(PARTS_MAX), first)
    }

    fn divided(parts: usize, first: T) -> Self {
        let list = Self {
            parts: (0..parts).map(|_| Part(Mutex::default())).collect(),
        };
        list.part(0).push(first);
        list
    }

    /// The part that is this thread's own.
    pub(super) fn home(&self) -> usize {
        current_shard() % self.parts.len()
    }

    /// The newest instance of a part, as the warmest, or one of another part. Those that do not `serve` any more
    /// are dropped.
    pub(super) fn take(&self, home: usize, serves: impl Fn(&T) -> bool) -> Option<T> {
        let parts = self.parts.len();
        (0..parts).find_map(|offset| {
            loop {
                // Bound to a name, so that what is dropped is dropped outside the lock.
                let newest = self.part((home + offset) % parts).pop();
                let instance = newest?;
                if serves(&instance) {
                    return Some(instance);
                }
            }
        })
    }

    /// Keeps an instance in the part it was taken from.
    pub(super) fn give_back(&self, home: usize, instance: T) {
        self.part(home).push(instance);
    }

    fn part(&self, index: usize) -> MutexGuard<'_, Vec<T>> {
        let Part(instances) = &self.parts[index % self.parts.len()];
        instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_its_own_newest_and_then_from_the_others() {
        let list = FreeList::divided(2, 0);
        list.give_back(0, 1);
        list.give_back(1, 10);
        let taken: Vec<_> = std::iter::from_fn(|| list.take(1, |_| true)).collect();
        assert_eq!(taken, [10, 1, 0]);
    }

    #[test]
    fn what_does_not_serve_any_more_is_dropped() {
        let list = FreeList::divided(1, 1);
        list.give_back(0, 2);
        list.give_back(0, 3);
        assert_eq!(list.take(0, |number| number % 2 == 0), Some(2));
        assert_eq!(list.take(0, |_| true), Some(1));
        assert_eq!(list.take(0, |_| true), None);
    }
}
