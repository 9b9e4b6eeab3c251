//! All apps' reconcilers: who changed in the store is nudged, and the API asks here what runs.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use dyno_router::Router;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app_shared::AppShared;
use super::app_task::{AppTask, NewTask, lock};
use super::engine::{Beginning, Engine};
use super::one_off::OneOffs;
use super::status::{BoardEntry, DynoStatus};
use crate::limits::{
    APPS_STARTING_MAX, RECONCILE_PERIOD, RECONCILE_RETRY_MIN, STORE_LIST_ENTRIES_MAX,
};
use crate::log::LogHub;
use crate::model::{App, AppId};
use crate::release::{AppError, Apps, ReleaseError, Releases};
use crate::store::{Entry, Revision, Store, StoreError, WatchError, decode, keys};

/// How long an app waits for its turn to come up, at most.
const TURN_WAIT: Duration = Duration::from_millis(100);

/// What the fleet works with.
#[derive(Clone)]
pub(crate) struct FleetParts {
    pub engine: Arc<dyn Engine>,
    pub store: Arc<dyn Store>,
    pub apps: Apps,
    pub releases: Releases,
    pub logs: Arc<LogHub>,
    pub router: Router,
}

/// Handle on everything that runs. Clones share it.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub parts: Arc<FleetParts>,
    pub one_offs: OneOffs,
    apps: Mutex<HashMap<AppId, AppHandle>>,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
    /// A permit for each app that comes up.
    turns: Arc<Semaphore>,
    /// All apps have been read once since the start.
    resumed: AtomicBool,
}

struct AppHandle {
    shared: Arc<AppShared>,
    reconciler: Reconciler,
    /// The revisions of the app's row and of its formation's when they were last looked at.
    seen: (Revision, Revision),
}

/// Where an app's reconciler is.
enum Reconciler {
    /// At rest: nothing is left to be done.
    Parked(Box<AppTask>),
    /// At work in a task of its own; `nudged` since its last pass.
    Running { nudged: bool },
}

/// Wakes one app's reconciler. It keeps neither the fleet nor the app alive.
#[derive(Clone)]
pub(super) struct Nudge {
    fleet: Weak<Inner>,
    shared: Weak<AppShared>,
    app: AppId,
}

impl Nudge {
    pub fn now(&self) {
        match self.fleet.upgrade() {
            Some(fleet) => fleet.wake(self.app),
            // The fleet has gone: what still runs is ending.
            None => {
                if let Some(shared) = self.shared.upgrade() {
                    shared.changed.notify_one();
                }
            }
        }
    }
}

/// Which dynos of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    Type(String),
    Dyno(String),
}

impl Selection {
    pub fn includes(&self, name: &str, process_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Type(wanted) => wanted == process_type,
            Self::Dyno(wanted) => wanted == name,
        }
    }
}

impl Fleet {
    /// A fleet that runs nothing yet; [`Fleet::run`] drives it.
    pub fn new(parts: FleetParts) -> Self {
        let inner = Inner {
            parts: Arc::new(parts),
            one_offs: OneOffs::default(),
            apps: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            turns: Arc::new(Semaphore::new(APPS_STARTING_MAX)),
            resumed: AtomicBool::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Gives every app its place and its route, so that a request for it waits until it is up instead of finding no
    /// such app. Comes before the first request, and before [`Fleet::run`].
    pub async fn resume(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let introduce = |entry| match decode::<App>(entry) {
            Ok(app) => drop(inner.introduce(&app.value)),
            // One app's damaged row must not stop the others.
            Err(error) => tracing::error!(%error, "an app could not be read"),
        };
        inner.list(keys::APPS, introduce).await?;
        Ok(())
    }

    /// Waits until an app's route and dynos are being brought to what the store holds now, so that who was told of a
    /// change also meets it. Gives up after [`CATCH_UP_MAX`](crate::limits::CATCH_UP_MAX): the change is made, and will be met.
    pub async fn catch_up(&self, id: AppId) {
        let Some(shared) = self.inner.shared(id) else {
            self.inner.outdate(id).await;
            let Some(shared) = self.inner.shared(id) else {
                return; // It is gone already.
            };
            return shared.caught_up(0).await;
        };
        let reads = shared.reads.load(Ordering::Acquire);
        self.inner.outdate(id).await;
        shared.caught_up(reads).await;
    }

    /// Reads which apps have changed and nudges their reconcilers, until [`Fleet::shutdown`].
    pub async fn run(&self) {
        while !self.inner.shutdown.is_cancelled() {
            if let Err(error) = self.sync_and_follow().await {
                // Everything keeps running as it was last told.
                tracing::warn!(%error, "the wanted state could not be read; trying again");
                tokio::select! {
                    () = tokio::time::sleep(RECONCILE_RETRY_MIN) => {}
                    () = self.inner.shutdown.cancelled() => {}
                }
            }
        }
    }

    /// Reads everything, then each change, until it is time to read everything again.
    async fn sync_and_follow(&self) -> Result<(), ReleaseError> {
        let revision = self.sync_all().await?;
        let mut watch = self.inner.parts.store.watch(keys::ROOT, revision);
        let period = tokio::time::sleep(RECONCILE_PERIOD);
        tokio::pin!(period);
        loop {
            let events = tokio::select! {
                events = watch.next() => events,
                () = &mut period => return Ok(()),
                () = self.inner.shutdown.cancelled() => return Ok(()),
            };
            let events = match events {
                Ok(events) => events,
                Err(WatchError::Compacted { .. }) => return Ok(()),
                Err(WatchError::Store(error)) => return Err(error.into()),
            };
            let changed: HashSet<AppId> = events
                .iter()
                .filter_map(|event| keys::app_of(&event.key))
                .collect();
            for id in changed {
                self.inner.outdate(id).await;
            }
        }
    }

    /// Looks at all apps, and nudges those that have changed since the last look; answers the revision from which
    /// changes are to be watched.
    async fn sync_all(&self) -> Result<Revision, ReleaseError> {
        let inner = &self.inner;
        let mut rows: HashMap<AppId, (Revision, Revision)> = HashMap::new();
        // Changes after the first page are seen again by the watch.
        let revision = inner.list(keys::APPS, |row| {
            if let Some(id) = keys::app_of(&row.key) {
                rows.insert(id, (row.modified, Revision::default()));
            }
        });
        let revision = revision.await?;
        let formations = inner.list(keys::FORMATIONS, |row| {
            let seen = keys::app_of(&row.key).and_then(|id| rows.get_mut(&id));
            if let Some(seen) = seen {
                seen.1 = row.modified;
            }
        });
        formations.await?;
        let gone: Vec<AppId> = inner
            .apps()
            .keys()
            .filter(|id| !rows.contains_key(*id))
            .copied()
            .collect();
        for (id, seen) in rows {
            if inner.note(id, seen) {
                inner.outdate(id).await;
                // A new app has a place for it only now.
                inner.note(id, seen);
            }
        }
        for id in gone {
            inner.outdate(id).await;
        }
        inner.resumed.store(true, Ordering::Release);
        Ok(revision)
    }

    /// An app's dynos now, one-offs included, by type and number.
    pub fn dynos(&self, id: AppId) -> Vec<DynoStatus> {
        let board = self
            .inner
            .shared(id)
            .map(|shared| lock(&shared.board).clone());
        let mut entries = board.unwrap_or_default();
        entries.extend(self.inner.one_offs.board(id));
        entries.iter().map(BoardEntry::now).collect()
    }

    /// Replaces dynos by new ones, without a gap for requests; one-offs are stopped, as Heroku does.
    pub fn restart(&self, id: AppId, selection: &Selection) {
        self.inner.one_offs.stop(id, selection);
        if let Some(shared) = self.inner.shared(id) {
            let mut restarts = lock(&shared.restarts);
            // Asking twice for the same is asking once.
            if !restarts.contains(selection) {
                restarts.push(selection.clone());
            }
            drop(restarts);
            self.inner.wake(id);
        }
    }

    /// Stops dynos. Those of the formation come back, since the formation says that they run.
    pub fn stop(&self, id: AppId, selection: &Selection) {
        self.restart(id, selection);
    }

    /// Stops everything and waits for it.
    pub async fn shutdown(&self) {
        self.inner.shutdown.cancel();
        self.inner.one_offs.stop_all();
        let all: Vec<AppId> = self.inner.apps().keys().copied().collect();
        for id in all {
            self.inner.wake(id);
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    /// Calls `each` with every row under `prefix`; answers the first page's revision.
    async fn list(
        &self,
        prefix: &str,
        mut each: impl FnMut(Entry),
    ) -> Result<Revision, StoreError> {
        let mut after: Option<String> = None;
        let mut first: Option<Revision> = None;
        loop {
            let page = self
                .parts
                .store
                .list(prefix, after.as_deref(), STORE_LIST_ENTRIES_MAX)
                .await?;
            let revision = *first.get_or_insert(page.revision);
            after = page.entries.last().map(|entry| entry.key.clone());
            page.entries.into_iter().for_each(&mut each);
            if !page.more {
                return Ok(revision);
            }
        }
    }

    /// Notes the revisions of an app's rows; true when they are others than at the last look.
    fn note(&self, id: AppId, seen: (Revision, Revision)) -> bool {
        match self.apps().get_mut(&id) {
            Some(handle) => std::mem::replace(&mut handle.seen, seen) != seen,
            None => true,
        }
    }

    /// Makes an app's reconciler read again what is wanted; a new app gets one.
    async fn outdate(self: &Arc<Self>, id: AppId) {
        let shared = match self.shared(id) {
            Some(shared) => shared,
            None => match self.parts.apps.read(id).await {
                Ok(app) => self.introduce(&app.value),
                Err(AppError::NotFound) => return,
                Err(error) => {
                    tracing::error!(app = %id, %error, "an app could not be read");
                    return;
                }
            },
        };
        shared.outdated.store(true, Ordering::Release);
        if self.is_new(id) {
            // Apps come up a few at a time; one that takes long must not keep the others waiting.
            let turn = Arc::clone(&self.turns).acquire_owned();
            let turn = tokio::time::timeout(TURN_WAIT, turn).await;
            self.grant(id, turn.ok().and_then(Result::ok));
        }
        self.wake(id);
    }

    /// Gives an app a reconciler, which rests, and a route; or finds those it has.
    fn introduce(self: &Arc<Self>, app: &App) -> Arc<AppShared> {
        // Held all the while: of two that meet here the second must not put another route into the table.
        let mut apps = self.apps();
        if let Some(handle) = apps.get(&app.id) {
            return Arc::clone(&handle.shared);
        }
        let shared = Arc::new(AppShared::default());
        let nudge = Nudge {
            fleet: Arc::downgrade(self),
            shared: Arc::downgrade(&shared),
            app: app.id,
        };
        let task = AppTask::new(NewTask {
            app,
            parts: Arc::clone(&self.parts),
            shared: Arc::clone(&shared),
            nudge,
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
            beginning: if self.resumed.load(Ordering::Acquire) {
                Beginning::Started
            } else {
                Beginning::Idle
            },
        });
        let handle = AppHandle {
            shared: Arc::clone(&shared),
            reconciler: Reconciler::Parked(Box::new(task)),
            seen: <(Revision, Revision)>::default(),
        };
        apps.insert(app.id, handle);
        shared
    }

    fn shared(&self, id: AppId) -> Option<Arc<AppShared>> {
        self.apps()
            .get(&id)
            .map(|handle| Arc::clone(&handle.shared))
    }

    /// Whether an app's reconciler has never been at work.
    fn is_new(&self, id: AppId) -> bool {
        self.shared(id)
            .is_some_and(|shared| shared.reads.load(Ordering::Acquire) == 0)
    }

    /// Gives an app that is about to come up its turn.
    fn grant(&self, id: AppId, turn: Option<OwnedSemaphorePermit>) {
        if let Some(handle) = self.apps().get_mut(&id)
            && let Reconciler::Parked(task) = &mut handle.reconciler
        {
            task.turn = turn;
        }
    }

    /// Sets an app's reconciler to work, or makes the one at work look again.
    fn wake(self: &Arc<Self>, id: AppId) {
        let mut apps = self.apps();
        let Some(handle) = apps.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(
            &mut handle.reconciler,
            Reconciler::Running { nudged: false },
        );
        match before {
            Reconciler::Parked(task) => {
                self.tasks.spawn(task.run(Arc::downgrade(self)));
            }
            Reconciler::Running { .. } => {
                handle.reconciler = Reconciler::Running { nudged: true };
                handle.shared.changed.notify_one();
            }
        }
    }

    /// Parks a reconciler, or forgets it when its app is gone. It comes back when it was nudged in the meantime.
    pub(super) fn rest(fleet: &Weak<Self>, task: Box<AppTask>, gone: bool) -> Option<Box<AppTask>> {
        let fleet = fleet.upgrade()?;
        let mut apps = fleet.apps();
        let handle = apps.get_mut(&task.id)?;
        if matches!(handle.reconciler, Reconciler::Running { nudged: true })
            // Who shuts down wakes what is parked, and then no more.
            || (fleet.shutdown.is_cancelled() && !gone)
        {
            handle.reconciler = Reconciler::Running { nudged: false };
            return Some(task);
        }
        if gone {
            apps.remove(&task.id);
        } else {
            handle.reconciler = Reconciler::Parked(task);
        }
        None
    }

    /// Apps whose reconcilers are at work now.
    #[cfg(test)]
    pub(super) fn at_work(&self) -> usize {
        self.apps()
            .values()
            .filter(|handle| matches!(handle.reconciler, Reconciler::Running { .. }))
            .count()
    }

    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, AppHandle>> {
        lock(&self.apps)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("apps", &self.inner.apps().len())
            .finish_non_exhaustive()
    }
}
