//! All apps' tasks: what the store says is handed to each, and the API asks here what runs.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dyno_router::Router;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app_task::{AppShared, AppTask};
use super::desired::{self, Desired};
use super::engine::Engine;
use super::one_off::OneOffs;
use super::route::Route;
use super::status::{BoardEntry, DynoStatus};
use crate::limits::{RECONCILE_PERIOD, RECONCILE_RETRY_MIN, STORE_LIST_ENTRIES_MAX};
use crate::log::LogHub;
use crate::model::AppId;
use crate::release::{Apps, ReleaseError, Releases};
use crate::store::{Revision, Store, WatchError, keys};

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
    pub parts: FleetParts,
    pub one_offs: OneOffs,
    apps: Mutex<HashMap<AppId, AppHandle>>,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
}

struct AppHandle {
    desired: watch::Sender<Option<Arc<Desired>>>,
    shared: Arc<AppShared>,
    task: JoinHandle<()>,
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
            parts,
            one_offs: OneOffs::default(),
            apps: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Reads what should run and hands it to the apps' tasks, until [`Fleet::shutdown`].
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
                self.sync_one(id).await;
            }
            self.sweep();
        }
    }

    /// Reads all apps; answers the revision from which changes are to be watched.
    async fn sync_all(&self) -> Result<Revision, ReleaseError> {
        let store = &self.inner.parts.store;
        let mut seen = HashSet::new();
        let mut after: Option<String> = None;
        let mut first: Option<Revision> = None;
        loop {
            let page = store
                .list(keys::APPS, after.as_deref(), STORE_LIST_ENTRIES_MAX)
                .await?;
            // Changes after the first page are seen again by the watch.
            first.get_or_insert(page.revision);
            for id in page
                .entries
                .iter()
                .filter_map(|entry| keys::app_of(&entry.key))
            {
                seen.insert(id);
                self.sync_one(id).await;
            }
            after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more {
                break;
            }
        }
        let gone: Vec<AppId> = self
            .apps()
            .keys()
            .filter(|id| !seen.contains(*id))
            .copied()
            .collect();
        for id in gone {
            self.sync_one(id).await;
        }
        self.sweep();
        Ok(first.unwrap_or_default())
    }

    /// Hands one app's wanted state to its task, which is started if the app is new.
    async fn sync_one(&self, id: AppId) {
        let parts = &self.inner.parts;
        let desired = match desired::read(&parts.apps, &parts.releases, id).await {
            Ok(desired) => desired,
            Err(error) => {
                // One app's damaged row must not stop the others; what it runs, it keeps running.
                tracing::error!(app = %id, %error, "what should run of an app could not be read");
                return;
            }
        };
        let mut apps = self.apps();
        match (apps.get(&id), desired) {
            (Some(handle), desired) if !handle.task.is_finished() => {
                handle.desired.send_replace(desired);
            }
            (_, None) => {}
            (_, Some(desired)) => {
                apps.insert(id, self.start_task(id, desired));
            }
        }
    }

    fn start_task(&self, id: AppId, desired: Arc<Desired>) -> AppHandle {
        let parts = &self.inner.parts;
        let shared = Arc::new(AppShared::default());
        let log = parts.logs.app(id, desired.app.name.as_str());
        let route = Route::new(parts.router.clone(), id.to_string().into());
        let task = AppTask::new(
            id,
            Arc::clone(&parts.engine),
            log,
            Arc::clone(&shared),
            route,
            self.inner.tasks.clone(),
        );
        let (sender, receiver) = watch::channel(Some(desired));
        let task = self
            .inner
            .tasks
            .spawn(task.run(receiver, self.inner.shutdown.child_token()));
        AppHandle {
            desired: sender,
            shared,
            task,
        }
    }

    /// Forgets apps whose tasks have ended.
    fn sweep(&self) {
        self.apps().retain(|_, handle| !handle.task.is_finished());
    }

    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, AppHandle>> {
        self.inner
            .apps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An app's dynos now, one-offs included, by type and number.
    pub fn dynos(&self, id: AppId) -> Vec<DynoStatus> {
        let shared = self
            .apps()
            .get(&id)
            .map(|handle| Arc::clone(&handle.shared));
        let board = shared.map(|shared| {
            shared
                .board
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        });
        let mut entries = board.unwrap_or_default();
        entries.extend(self.inner.one_offs.board(id));
        entries.iter().map(BoardEntry::now).collect()
    }

    /// Replaces dynos by new ones, without a gap for requests; one-offs are stopped, as Heroku does.
    pub fn restart(&self, id: AppId, selection: &Selection) {
        self.inner.one_offs.stop(id, selection);
        if let Some(handle) = self.apps().get(&id) {
            let mut restarts = handle
                .shared
                .restarts
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Asking twice for the same is asking once.
            if !restarts.contains(selection) {
                restarts.push(selection.clone());
            }
            handle.shared.changed.notify_one();
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
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("apps", &self.apps().len())
            .finish_non_exhaustive()
    }
}
