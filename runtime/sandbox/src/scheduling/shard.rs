//! Which part of a divided structure a thread uses, so that threads stay out of each other's way.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of this thread; the first threads that ask get 0, 1, 2, … Take it modulo the number of parts.
pub fn current_shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    SHARD.with(|shard| *shard)
}
