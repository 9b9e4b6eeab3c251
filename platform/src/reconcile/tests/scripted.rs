//! Dynos that do what a test says, and a fleet of them on a real store and a real routing table.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dyno_router::{
    Backend, BackendError, BackendErrorKind, RouteKey, RouteState, Router, RouterOptions,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::log::LogHub;
use crate::model::{App, AppName, Quantity, Release, Slug, SlugId, Timestamp};
use crate::reconcile::engine::FormationPlace;
use crate::reconcile::{
    DynoStart, DynoState, Engine, Fleet, FleetParts, LoadFailure, LoadedProcess, ProcessRequest,
    Run, RunningDyno,
};
use crate::release::{Apps, Change, Deploy, Releases, SlugSource};
use crate::secret::Sealer;
use crate::store::{SqliteStore, Store};

/// How long a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(20);
/// The app of every test.
pub const APP: &str = "demo";

/// Starts scripted dynos and remembers them.
pub struct ScriptedEngine {
    dynos: Mutex<Vec<Arc<ScriptedDyno>>>,
    /// Slugs whose code cannot be loaded.
    broken: Mutex<HashSet<String>>,
    router: Router,
}

/// A dyno whose states a test sets.
pub struct ScriptedDyno {
    /// `web.1@v2`
    pub label: String,
    pub run: Run,
    state: watch::Sender<DynoState>,
    /// How it was told to begin; a one-off is told nothing.
    pub place: Option<FormationPlace>,
    backend: Arc<Backend>,
    stop_asked: watch::Sender<bool>,
    /// It was told to stop while requests could still be sent to it.
    pub stopped_in_route: Mutex<bool>,
    /// A stop takes until this is true.
    stop_allowed: watch::Sender<bool>,
    router: Router,
}

struct ScriptedProcess {
    engine: Arc<ScriptedEngine>,
    release: String,
}

/// What the fleet asks; the shared part is the engine.
struct Handle(Arc<ScriptedEngine>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scripted")
    }
}

impl Engine for Handle {
    fn load(
        &self,
        request: ProcessRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn LoadedProcess>, LoadFailure>> {
        let engine = Arc::clone(&self.0);
        async move {
            if lock(&engine.broken).contains(&request.slug) {
                return Err(LoadFailure("it imports wasi:nothing".to_owned()));
            }
            let release = request.release;
            Ok(Arc::new(ScriptedProcess { engine, release }) as Arc<dyn LoadedProcess>)
        }
        .boxed()
    }
}

impl LoadedProcess for ScriptedProcess {
    fn start(&self, start: DynoStart) -> Arc<dyn RunningDyno> {
        let label = format!("{}@{}", start.name, self.release);
        let refuse = tower::service_fn(async |_| {
            Err::<http::Response<dyno_router::ResponseBody>, _>(BackendError::new(
                BackendErrorKind::Platform,
            ))
        });
        let dyno = Arc::new(ScriptedDyno {
            backend: Backend::new(label.clone(), refuse),
            label,
            run: start.run,
            state: watch::Sender::new(DynoState::Starting),
            place: start.place,
            stop_asked: watch::Sender::new(false),
            stopped_in_route: Mutex::new(false),
            stop_allowed: watch::Sender::new(true),
            router: self.engine.router.clone(),
        });
        lock(&self.engine.dynos).push(Arc::clone(&dyno));
        Arc::new(DynoHandle(dyno))
    }
}

struct DynoHandle(Arc<ScriptedDyno>);

impl ScriptedDyno {
    pub fn set(&self, state: DynoState) {
        self.state.send_replace(state);
        if let Some(place) = &self.place {
            (place.observer)(state);
        }
    }

    pub fn state(&self) -> DynoState {
        *self.state.borrow()
    }

    pub fn was_asked_to_stop(&self) -> bool {
        *self.stop_asked.borrow()
    }

    /// Makes its stop take until [`ScriptedDyno::let_stop`].
    pub fn hold_stop(&self) {
        self.stop_allowed.send_replace(false);
    }

    pub fn let_stop(&self) {
        self.stop_allowed.send_replace(true);
    }
}

impl RunningDyno for DynoHandle {
    fn state(&self) -> DynoState {
        self.0.state()
    }

    fn since(&self) -> SystemTime {
        SystemTime::now()
    }

    fn backend(&self) -> Arc<Backend> {
        Arc::clone(&self.0.backend)
    }

    fn stop(&self, _grace: Duration) -> BoxFuture<'static, ()> {
        let dyno = Arc::clone(&self.0);
        let in_route = routed(&dyno.router).contains(&dyno.label);
        *lock(&dyno.stopped_in_route) |= in_route;
        dyno.stop_asked.send_replace(true);
        async move {
            let mut allowed = dyno.stop_allowed.subscribe();
            let _ = allowed.wait_for(|allowed| *allowed).await;
            dyno.set(DynoState::Down);
        }
        .boxed()
    }

    fn exit(&self) -> BoxFuture<'static, i32> {
        let mut states = self.0.state.subscribe();
        async move {
            let _ = states.wait_for(|state| *state == DynoState::Down).await;
            0
        }
        .boxed()
    }
}

/// The dynos that requests for the app may be sent to, sorted; none when the route is not active.
fn routed(router: &Router) -> Vec<String> {
    let Some(route) = router.routes().get(&RouteKey::App(APP.to_owned())) else {
        return Vec::new();
    };
    match &*route.state() {
        RouteState::Active { backends } => {
            let mut names: Vec<String> = backends.iter().map(|one| one.dyno().to_owned()).collect();
            names.sort();
            names
        }
        _ => Vec::new(),
    }
}

/// A fleet at work.
pub struct Rig {
    pub app: App,
    pub apps: Apps,
    pub releases: Releases,
    pub fleet: Fleet,
    pub logs: Arc<LogHub>,
    engine: Arc<ScriptedEngine>,
    router: Router,
    folder: tempfile::TempDir,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder")).await
    }

    /// A new fleet on the store of this one, as after a crash of the process.
    pub async fn crash_and_start(self) -> Self {
        let Self { folder, .. } = self;
        Self::start_in(folder).await
    }

    async fn start_in(folder: tempfile::TempDir) -> Self {
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("state")).expect("opened"));
        let sealer = Sealer::open_or_create(&folder.path().join("key")).expect("a key");
        let logs = Arc::new(LogHub::new());
        let router = Router::new(RouterOptions::default());
        let engine = Arc::new(ScriptedEngine {
            dynos: Mutex::default(),
            broken: Mutex::default(),
            router: router.clone(),
        });
        let apps = Apps::new(Arc::clone(&store), Arc::clone(&logs));
        let releases = Releases::new(Arc::clone(&store), sealer);
        let fleet = Fleet::new(FleetParts {
            engine: Arc::new(Handle(Arc::clone(&engine))),
            store,
            apps: apps.clone(),
            releases: releases.clone(),
            logs: Arc::clone(&logs),
            router: router.clone(),
        });
        let running = fleet.clone();
        tokio::spawn(async move { running.run().await });
        let app = match apps.find(APP).await {
            Ok(app) => app.value,
            Err(_) => apps
                .create(Some(AppName::new(APP).expect("valid")))
                .await
                .expect("made"),
        };
        Self {
            app,
            apps,
            releases,
            fleet,
            logs,
            engine,
            router,
            folder,
        }
    }

    /// Releases a new slug with these process types.
    pub async fn deploy(&self, process_types: &[&str]) -> Release {
        self.deploy_slug(&format!("sha256:{}", SlugId::generate()), process_types)
            .await
    }

    /// Releases a slug whose code cannot be loaded.
    pub async fn deploy_broken(&self, process_types: &[&str]) -> Release {
        let digest = format!("sha256:{}", SlugId::generate());
        lock(&self.engine.broken).insert(digest.clone());
        self.deploy_slug(&digest, process_types).await
    }

    async fn deploy_slug(&self, digest: &str, process_types: &[&str]) -> Release {
        let commands = process_types
            .iter()
            .map(|name| ((*name).to_owned(), format!("run {name}")));
        let slug = Slug {
            id: SlugId::generate(),
            app: self.app.id,
            digest: digest.to_owned(),
            size: 1,
            process_types: commands.collect(),
            commit: None,
            commit_description: None,
            buildpack_description: None,
            stack: "wasi-1".to_owned(),
            created_at: Timestamp::now(),
        };
        let deploy = Deploy {
            slug: SlugSource::New(slug),
            description: "Deploy".to_owned(),
            default_config_vars: BTreeMap::new(),
            build: None,
            cache: None,
            buildpack: None,
        };
        let change = Change::Deploy(Box::new(deploy));
        let made = self
            .releases
            .make(self.app.id, &change)
            .await
            .expect("released");
        made.expect("a change")
    }

    pub async fn scale(&self, process_type: &str, quantity: u32) {
        let scaled = self.apps.scale(self.app.id, |formation| {
            formation.update(process_type, Some(Quantity::Absolute(quantity)), None)
        });
        scaled.await.expect("scaled");
    }

    /// The newest dyno with this label, once it was started.
    pub async fn started(&self, label: &str) -> Arc<ScriptedDyno> {
        self.until(&format!("{label} starts"), || self.all(label).pop())
            .await
    }

    /// All dynos that were ever started under this label, oldest first.
    pub fn all(&self, label: &str) -> Vec<Arc<ScriptedDyno>> {
        lock(&self.engine.dynos)
            .iter()
            .filter(|dyno| dyno.label == label)
            .cloned()
            .collect()
    }

    /// Waits until requests may be sent to exactly these dynos.
    pub async fn until_routed(&self, labels: &[&str]) {
        self.until(&format!("the route is {labels:?}"), || {
            (self.routed() == labels).then_some(())
        })
        .await;
    }

    pub fn routed(&self) -> Vec<String> {
        routed(&self.router)
    }

    /// Waits until the route's state, written by `Debug`, begins so.
    pub async fn until_state(&self, word: &str) {
        let state = || {
            let route = self.router.routes().get(&RouteKey::App(APP.to_owned()))?;
            format!("{:?}", route.state())
                .starts_with(word)
                .then_some(())
        };
        self.until(&format!("the route is {word}"), state).await;
    }

    pub fn has_route(&self) -> bool {
        self.router
            .routes()
            .get(&RouteKey::App(APP.to_owned()))
            .is_some()
    }

    pub async fn until<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = condition() {
                return value;
            }
            let (routed, log) = (self.routed(), self.log());
            assert!(
                Instant::now() < deadline,
                "never: {what}; routed: {routed:?}\n{log}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn until_stopped(&self, dyno: &ScriptedDyno) {
        self.until(&format!("{} is down", dyno.label), || {
            (dyno.state() == DynoState::Down).then_some(())
        })
        .await;
        assert!(
            !*lock(&dyno.stopped_in_route),
            "{} was stopped while in the route",
            dyno.label
        );
    }

    pub fn log(&self) -> String {
        let log = self.logs.app(self.app.id, APP);
        let lines: Vec<String> = log
            .last(100, |_| true)
            .iter()
            .map(ToString::to_string)
            .collect();
        lines.join("\n")
    }
}
