//! The queue: one build at a time per app, a few per host, and no more waiting than is bounded.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dyno_slug::SlugStore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::run::{self, RunError};
use super::{BuildError, Compiler, Outputs, SourceId, Sources};
use crate::control::Control;
use crate::limits::{BUILDS_KEPT_MAX, BUILDS_WAITING_MAX, BUILDS_WAITING_PER_APP_MAX};
use crate::model::{App, AppId, Build, BuildId, BuildStatus, Timestamp};
use crate::store::{Store, StoreError, Stored, Transaction, Write, encode, get, keys, list_all};

/// What a client wants built.
#[derive(Clone, Debug)]
pub(crate) struct BuildRequest {
    pub source: SourceId,
    pub version: Option<String>,
    pub description: Option<String>,
    pub checksum: Option<String>,
    /// Empty means the app's own.
    pub buildpacks: Vec<String>,
}

/// A source that the client believes to be known, named by its archive's checksum.
#[derive(Clone, Debug)]
pub(crate) struct KnownSource {
    /// `SHA256:…`
    pub checksum: String,
    pub version: Option<String>,
    pub description: Option<String>,
    /// Empty means the app's own.
    pub buildpacks: Vec<String>,
}

/// All builds of this host.
#[derive(Clone)]
pub(crate) struct Builds {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub store: Arc<dyn Store>,
    pub sources: Sources,
    pub outputs: Arc<Outputs>,
    pub slugs: SlugStore,
    pub compiler: Compiler,
    running: Semaphore,
    queue: Mutex<HashMap<AppId, AppQueue>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct AppQueue {
    /// Builds that wait or run, and how each is cancelled.
    builds: HashMap<BuildId, CancellationToken>,
    /// Held by the one that runs.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A build's place in the queue; free again when dropped.
struct Place {
    inner: Arc<Inner>,
    app: AppId,
    build: BuildId,
}

impl Builds {
    pub fn new(
        store: Arc<dyn Store>,
        sources: Sources,
        outputs: Arc<Outputs>,
        slugs: SlugStore,
        compiler: Compiler,
        concurrency: usize,
    ) -> Self {
        let inner = Inner {
            store,
            sources,
            outputs,
            slugs,
            compiler,
            running: Semaphore::new(concurrency),
            queue: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn sources(&self) -> &Sources {
        &self.inner.sources
    }

    /// Accepts a build: its row is stored and its output can be followed when this returns.
    pub async fn submit(
        &self,
        control: &Arc<Control>,
        app: &App,
        wanted: BuildRequest,
    ) -> Result<Build, BuildError> {
        let source = self.inner.sources.path(wanted.source);
        if !tokio::fs::try_exists(&source)
            .await
            .map_err(BuildError::io("finding the source"))?
        {
            return Err(BuildError::Source(
                "The source was not uploaded: PUT the archive to put_url first.".to_owned(),
            ));
        }
        let build = Build {
            buildpacks: wanted.buildpacks.clone(),
            source_version: wanted.version.clone(),
            source_description: wanted.description.clone(),
            source_checksum: wanted.checksum.clone(),
            ..Build::new(app.id)
        };
        let (place, turn, cancel) = self.enter(app.id, build.id)?;
        self.forget_old(app.id).await?;
        let (outputs, id) = (&self.inner.outputs, build.id.as_uuid());
        // Before the row: a row whose output cannot be kept would wait for a build that never starts.
        let creating = outputs.create(id);
        let output = creating.map_err(BuildError::io("creating the build's output"))?;
        if let Err(error) = self.write(&build).await {
            drop(output);
            outputs.remove(id);
            return Err(error.into());
        }
        let (builds, control, app, stored) = (
            self.clone(),
            Arc::clone(control),
            app.clone(),
            build.clone(),
        );
        self.inner.tasks.spawn(async move {
            let _place = place;
            let turns = async {
                let turn = turn.lock().await;
                // The semaphore is never closed; if it were, the build would run anyway.
                (turn, builds.inner.running.acquire().await.ok())
            };
            let turns = tokio::select! {
                turns = turns => Some(turns),
                () = cancel.cancelled() => None,
            };
            // A cancelled build still goes through `run`, which writes down that it failed.
            run::run(&builds, &control, &app, stored, &wanted, output, &cancel).await;
            drop(turns);
        });
        Ok(build)
    }

    /// Releases a source that was built before, without its archive. `None` when it must be uploaded.
    pub async fn reuse(
        &self,
        control: &Arc<Control>,
        app: &App,
        known: &KnownSource,
    ) -> Result<Option<Build>, RunError> {
        let build = Build {
            buildpacks: known.buildpacks.clone(),
            source_version: known.version.clone(),
            source_description: known.description.clone(),
            source_checksum: Some(known.checksum.clone()),
            ..Build::new(app.id)
        };
        let reused = run::reuse(self, control, app, build, known).await?;
        if reused.is_some() {
            self.forget_old(app.id).await?;
        }
        Ok(reused)
    }

    /// The store of the slugs that builds make.
    pub fn slugs(&self) -> &SlugStore {
        &self.inner.slugs
    }

    /// What compiles.
    pub fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    /// Takes a place in the queue.
    fn enter(
        &self,
        app: AppId,
        build: BuildId,
    ) -> Result<(Place, Arc<tokio::sync::Mutex<()>>, CancellationToken), BuildError> {
        let mut queue = self.queue();
        let waiting: usize = queue.values().map(|app| app.builds.len()).sum();
        let of_app = queue.get(&app).map_or(0, |app| app.builds.len());
        // One of an app's builds may be running; the bound is on those behind it.
        if waiting >= BUILDS_WAITING_MAX || of_app > BUILDS_WAITING_PER_APP_MAX {
            return Err(BuildError::QueueFull {
                waiting: waiting.min(of_app.max(1)),
            });
        }
        let cancel = self.inner.shutdown.child_token();
        let entry = queue.entry(app).or_default();
        entry.builds.insert(build, cancel.clone());
        let place = Place {
            inner: Arc::clone(&self.inner),
            app,
            build,
        };
        Ok((place, Arc::clone(&entry.turn), cancel))
    }

    fn queue(&self) -> MutexGuard<'_, HashMap<AppId, AppQueue>> {
        self.inner
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a build that waits or runs.
    pub fn cancel(&self, app: AppId, build: BuildId) {
        if let Some(cancel) = self
            .queue()
            .get(&app)
            .and_then(|app| app.builds.get(&build))
        {
            cancel.cancel();
        }
    }

    /// Ends all builds of an app.
    pub fn cancel_all(&self, app: AppId) {
        if let Some(app) = self.queue().get(&app) {
            app.builds.values().for_each(CancellationToken::cancel);
        }
    }

    /// Ends all builds and waits for them.
    pub async fn shutdown(&self) {
        self.inner.shutdown.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// One build.
    pub async fn read(&self, app: AppId, id: BuildId) -> Result<Option<Build>, StoreError> {
        Ok(get(&*self.inner.store, &keys::build(app, id))
            .await?
            .map(|stored: Stored<Build>| stored.value))
    }

    /// An app's builds, oldest first.
    pub async fn list(&self, app: AppId) -> Result<Vec<Build>, StoreError> {
        let stored = list_all::<Build>(&*self.inner.store, &keys::builds(app)).await?;
        let mut builds: Vec<Build> = stored.into_iter().map(|stored| stored.value).collect();
        builds.sort_by_key(|build| build.created_at);
        Ok(builds)
    }

    /// Makes the next build compile whatever its source, with empty caches.
    pub async fn delete_cache(&self, app: AppId) -> Result<(), BuildError> {
        let forget = Transaction::default().write(Write::Delete(keys::build_cache(app)));
        self.inner.store.commit(forget).await?;
        self.inner
            .compiler
            .delete_cache(app)
            .await
            .map_err(BuildError::io("deleting the build cache"))
    }

    pub(super) async fn write(&self, build: &Build) -> Result<(), StoreError> {
        let put = Write::Put(keys::build(build.app, build.id), encode(build)?);
        self.inner
            .store
            .commit(Transaction::default().write(put))
            .await?;
        Ok(())
    }

    /// Drops the oldest builds beyond the number that is kept.
    async fn forget_old(&self, app: AppId) -> Result<(), StoreError> {
        let builds = self.list(app).await?;
        let surplus = (builds.len() + 1).saturating_sub(BUILDS_KEPT_MAX);
        let ended = builds
            .into_iter()
            .filter(|build| build.status != BuildStatus::Pending);
        for build in ended.take(surplus) {
            let delete = Write::Delete(keys::build(app, build.id));
            self.inner
                .store
                .commit(Transaction::default().write(delete))
                .await?;
            self.inner.outputs.remove(build.id.as_uuid());
        }
        Ok(())
    }

    /// Marks builds that the last process did not end as failed.
    pub async fn fail_interrupted(&self) -> Result<(), StoreError> {
        for stored in list_all::<Build>(&*self.inner.store, &keys::all_builds()).await? {
            if stored.value.status == BuildStatus::Pending {
                let mut build = stored.value;
                build.status = BuildStatus::Failed;
                build.updated_at = Timestamp::now();
                self.write(&build).await?;
                let words = " !     The build was interrupted: the platform stopped.\n !\n !     Push failed";
                if let Err(error) = self.inner.outputs.amend(build.id.as_uuid(), words) {
                    tracing::debug!(build = %build.id, %error, "an interrupted build has no output");
                }
            }
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self
            .inner
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(app) = queue.get_mut(&self.app) {
            app.builds.remove(&self.build);
            if app.builds.is_empty() {
                queue.remove(&self.app);
            }
        }
    }
}

impl fmt::Debug for Builds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builds")
            .field("apps", &self.queue().len())
            .finish_non_exhaustive()
    }
}
