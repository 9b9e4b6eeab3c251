//! What one app's reconciler shares with the API and with what it started.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::app_task::Ended;
use super::fleet::Selection;
use super::status::BoardEntry;
use crate::limits::CATCH_UP_MAX;

/// What an app's reconciler shares with the API and with what it started.
#[derive(Default)]
pub(super) struct AppShared {
    /// Restarts that were asked for and not yet seen. A crash forgets them, and restarts everything.
    pub restarts: Mutex<Vec<Selection>>,
    /// What the API shows.
    pub board: Mutex<Vec<BoardEntry>>,
    /// Wakes a running reconciler.
    pub changed: Notify,
    /// The store has changed: what is wanted must be read again.
    pub outdated: AtomicBool,
    /// How often what is wanted has been read since the start, and how many of these reads a pass has followed.
    pub reads: AtomicU64,
    followed: AtomicU64,
    /// Tells of every pass that followed a read.
    passed: Notify,
    /// What has ended and was not yet seen. Bounded by what was begun: each load and each stop ends once.
    pub ended: Mutex<Vec<Ended>>,
}

impl AppShared {
    /// Waits until a pass has followed a read that is later than the first `reads`, or until [`CATCH_UP_MAX`] is over.
    pub async fn caught_up(&self, reads: u64) {
        let caught_up = async {
            loop {
                let mut passed = pin!(self.passed.notified());
                // Before the look, or a pass between the two would be missed.
                passed.as_mut().enable();
                if self.followed.load(Ordering::Acquire) > reads {
                    return;
                }
                passed.await;
            }
        };
        drop(tokio::time::timeout(CATCH_UP_MAX, caught_up).await);
    }

    /// A pass has followed the first `reads`.
    pub fn follow(&self, reads: u64) {
        self.followed.store(reads, Ordering::Release);
        self.passed.notify_waiters();
    }
}
