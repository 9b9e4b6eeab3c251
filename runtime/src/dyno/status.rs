//! A dyno's state: what it is, since when, and who is told of its changes.

use super::lock;
use crate::state::DynoState;
use std::sync::Mutex;
use std::time::SystemTime;
use tokio::sync::watch;

/// A state that can be watched. Nobody watches most dynos most of the time, so the channel is made for the first
/// watcher and dropped after the last: it would be a quarter of an idle dyno.
pub(super) struct Status {
    inner: Mutex<Inner>,
}

struct Inner {
    state: DynoState,
    since: SystemTime,
    watchers: Option<watch::Sender<DynoState>>,
}

impl Status {
    pub(super) fn new(state: DynoState) -> Self {
        Self {
            inner: Mutex::new(Inner {
                state,
                since: SystemTime::now(),
                watchers: None,
            }),
        }
    }

    pub(super) fn now(&self) -> DynoState {
        lock(&self.inner).state
    }

    pub(super) fn since(&self) -> SystemTime {
        lock(&self.inner).since
    }

    /// The states from now on, as long as somebody holds this.
    pub(super) fn watch(&self) -> watch::Receiver<DynoState> {
        let mut inner = lock(&self.inner);
        let state = inner.state;
        let watchers = inner
            .watchers
            .get_or_insert_with(|| watch::Sender::new(state));
        watchers.subscribe()
    }

    /// Changes the state; false when it is this one already. `announce` is called with the state before, and before
    /// anybody sees the new one.
    pub(super) fn change(&self, state: DynoState, announce: impl FnOnce(DynoState)) -> bool {
        let mut inner = lock(&self.inner);
        if inner.state == state {
            return false;
        }
        announce(inner.state);
        inner.state = state;
        inner.since = SystemTime::now();
        if let Some(watchers) = &inner.watchers {
            watchers.send_replace(state);
            if watchers.receiver_count() == 0 {
                inner.watchers = None;
            }
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn watchers_see_every_last_state_and_leave_nothing_behind() {
        let status = Status::new(DynoState::Idle);
        let mut watcher = status.watch();
        assert!(status.change(DynoState::Up, |before| assert_eq!(before, DynoState::Idle)));
        assert!(watcher.has_changed().unwrap());
        assert_eq!(*watcher.borrow_and_update(), DynoState::Up);
        assert!(!status.change(DynoState::Up, |_| panic!("it is up already")));
        drop(watcher);
        assert!(status.change(DynoState::Idle, |_| ()));
        assert!(lock(&status.inner).watchers.is_none());
        assert_eq!(*status.watch().borrow(), DynoState::Idle);
    }
}
