//! One app's route: which dynos serve it, or why none does; requests wait here for a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::backend::{Backend, InFlight};
use crate::error_code::ErrorCode;
use crate::limits::QUEUE_PER_DYNO;

/// What the router does with an app's requests.
#[derive(Debug)]
pub enum RouteState {
    /// Each request goes to the backend with the fewest requests in flight. Without any backend the
    /// requests wait as in [`RouteState::Starting`].
    Active {
        /// The dynos that are up.
        backends: Vec<Arc<Backend>>,
    },
    /// No dyno is up yet: requests wait for a change, up to 75 s (H20), in a bounded queue (H11).
    Starting {
        /// How many dynos are on their way; the bound of the queue is 50 for each.
        dynos: usize,
    },
    /// All web dynos are crashed (H10).
    Crashed,
    /// The web formation is 0 (H14).
    NoWebProcesses,
    /// Maintenance mode (H80).
    Maintenance,
    /// Never released (H81).
    Blank,
}

/// One app's route. Published in the [`crate::RouteTable`] once; afterwards only its state changes.
#[derive(Debug)]
pub struct AppRoute {
    app: Arc<str>,
    state: ArcSwap<RouteState>,
    changed: Notify,
    waiting: AtomicUsize,
}

impl AppRoute {
    /// A route for `app` (the name in the log).
    pub fn new(app: impl Into<Arc<str>>, state: RouteState) -> Arc<Self> {
        Arc::new(Self {
            app: app.into(),
            state: ArcSwap::from_pointee(state),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// The app's name.
    #[must_use]
    pub fn app(&self) -> &Arc<str> {
        &self.app
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> Arc<RouteState> {
        self.state.load_full()
    }

    /// Changes the state at once and wakes the requests that wait.
    ///
    /// Requests in flight on a backend that is no longer listed go on; see [`Backend::in_flight`].
    pub fn set_state(&self, state: RouteState) {
        self.state.store(Arc::new(state));
        self.changed.notify_waiters();
    }

    /// Requests that wait for a dyno.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Chooses a backend that is not among `tried`, and counts the request in.
    pub(crate) fn choose(&self, tried: &[Arc<Backend>]) -> Choice {
        match &**self.state.load() {
            RouteState::Active { backends } => match least_outstanding(backends, tried) {
                Some(backend) => Choice::Backend(InFlight::new(backend)),
                None => Choice::Wait {
                    dynos: backends.len(),
                },
            },
            RouteState::Starting { dynos } => Choice::Wait { dynos: *dynos },
            RouteState::Crashed => Choice::Refuse(ErrorCode::H10),
            RouteState::NoWebProcesses => Choice::Refuse(ErrorCode::H14),
            RouteState::Maintenance => Choice::Refuse(ErrorCode::H80),
            RouteState::Blank => Choice::Refuse(ErrorCode::H81),
        }
    }

    /// Resolves at the next change of state after it was enabled.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Takes a place in the queue, or nothing when it is full.
    pub(crate) fn enqueue(self: &Arc<Self>, dynos: usize) -> Option<QueuePlace> {
        let bound = QUEUE_PER_DYNO * dynos.max(1);
        let taken = self
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                (waiting < bound).then_some(waiting + 1)
            });
        taken.is_ok().then(|| QueuePlace(Arc::clone(self)))
    }
}

/// What [`AppRoute::choose`] found.
#[derive(Debug)]
pub(crate) enum Choice {
    Backend(InFlight),
    Wait { dynos: usize },
    Refuse(ErrorCode),
}

/// One waiting request; the place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace(Arc<AppRoute>);

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The backend with the fewest requests in flight. The scan starts anywhere, so that equals share
/// the load, and ends at the first idle one.
fn least_outstanding<'a>(
    backends: &'a [Arc<Backend>],
    tried: &[Arc<Backend>],
) -> Option<&'a Arc<Backend>> {
    let count = backends.len();
    let start = if count > 1 {
        rand::random_range(0..count)
    } else {
        0
    };
    let mut best: Option<(usize, &Arc<Backend>)> = None;
    for offset in 0..count {
        let backend = &backends[(start + offset) % count];
        if tried.iter().any(|other| Arc::ptr_eq(other, backend)) {
            continue;
        }
        let load = backend.in_flight();
        if best.is_none_or(|(least, _)| load < least) {
            best = Some((load, backend));
        }
        if load == 0 {
            break;
        }
    }
    best.map(|(_, backend)| backend)
}
