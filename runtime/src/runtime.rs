//! The host: engines, caches, threads and scratch space that all dynos share.

use crate::error::{LoadError, RuntimeError};
use crate::limits::BOOTS_AT_ONCE;
use dyno_sandbox::{
    CodeCache, Destination, EgressPolicy, EngineKind, EngineOptions, Engines, Guest, GuestThreads,
    Handler, HostInterfaces, KeyValue, Outbound, TrustedRoots,
};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Semaphore;

/// How a [`Runtime`] is set up.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Compiled code, boot images and the dynos' private files live below it. Only this user may write there.
    pub state_dir: PathBuf,
    /// Instances that may be live at once, per engine.
    pub instance_slots_max: u32,
    /// Threads for guests that compute for longer than a tick, and for workers.
    pub guest_threads: usize,
    /// Where guests may connect to.
    pub egress: EgressPolicy,
    /// Whose certificates their TLS connections trust.
    pub trusted_roots: TrustedRoots,
    /// What guests may import beside WASI, `wasi:config` and `wasi:keyvalue`.
    pub interfaces: HostInterfaces,
}

impl RuntimeOptions {
    /// The defaults: 1,000 instances, a guest thread per CPU, public addresses only.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            instance_slots_max: EngineOptions::default().instance_slots_max,
            guest_threads: std::thread::available_parallelism().map_or(2, usize::from),
            egress: EgressPolicy::default(),
            trusted_roots: TrustedRoots::default(),
            interfaces: HostInterfaces::default(),
        }
    }
}

/// Runs dynos on this machine. Clones share everything.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    engines: Engines,
    cache: CodeCache,
    threads: GuestThreads,
    scratch: PathBuf,
    egress: EgressPolicy,
    trusted_roots: TrustedRoots,
    boots: Arc<Semaphore>,
    guests: Mutex<HashMap<GuestKey, Weak<Guest>>>,
    key_values: Mutex<HashMap<String, Weak<KeyValue>>>,
}

type GuestKey = (String, EngineKind, &'static str);

impl Runtime {
    /// Sets up the host. Files that dynos of an earlier process left are removed.
    ///
    /// # Errors
    /// [`RuntimeError`] when a directory, a thread or the engine is not to be had.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let cache = CodeCache::open(options.state_dir.join("native"))?;
        let engines = Engines::new(&EngineOptions {
            instance_slots_max: options.instance_slots_max,
            compile_store: Some(cache.compile_store()),
            interfaces: options.interfaces,
            ..EngineOptions::default()
        })
        .map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let scratch = options.state_dir.join("dynos");
        clear(&scratch).map_err(|source| RuntimeError::Io {
            what: scratch.display().to_string(),
            source,
        })?;
        let threads =
            GuestThreads::start(options.guest_threads).map_err(|source| RuntimeError::Io {
                what: "guest threads".into(),
                source,
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                engines,
                cache,
                threads,
                scratch,
                egress: options.egress,
                trusted_roots: options.trusted_roots,
                boots: Arc::new(Semaphore::new(BOOTS_AT_ONCE)),
                guests: Mutex::new(HashMap::new()),
                key_values: Mutex::new(HashMap::new()),
            }),
        })
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.inner.engines
    }

    pub(crate) fn cache(&self) -> &CodeCache {
        &self.inner.cache
    }

    pub(crate) fn threads(&self) -> &GuestThreads {
        &self.inner.threads
    }

    pub(crate) fn scratch(&self) -> &Path {
        &self.inner.scratch
    }

    /// A way out to what the host allows and to `allowed`.
    pub(crate) fn way_out(&self, allowed: &[Destination]) -> Outbound {
        Outbound::new(
            self.inner.egress.clone().with(allowed),
            self.inner.trusted_roots.clone(),
        )
    }

    pub(crate) fn boots(&self) -> &Arc<Semaphore> {
        &self.inner.boots
    }

    /// The key-value store of an app, shared by all its processes that are loaded.
    pub(crate) fn key_value(&self, app: &str) -> Arc<KeyValue> {
        let stores = self.inner.key_values.lock();
        let mut stores = stores.unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(app).and_then(Weak::upgrade) {
            return store;
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let store = Arc::default();
        stores.insert(app.to_owned(), Arc::downgrade(&store));
        store
    }

    /// The linked form of a component, shared by every app that uses the same one: two apps of one language
    /// map their base once. `name` identifies the bytes that `read` gives. Blocks.
    pub(crate) fn guest(
        &self,
        name: &str,
        kind: EngineKind,
        handler: Handler,
        read: impl FnOnce() -> Result<Vec<u8>, LoadError>,
    ) -> Result<Arc<Guest>, LoadError> {
        let key = (name.to_owned(), kind, handler_name(handler));
        if let Some(guest) = self.guests().get(&key).and_then(Weak::upgrade) {
            return Ok(guest);
        }
        let component = match self.cache().find(self.engines(), kind, name)? {
            Some(component) => component,
            None => self.cache().compile(self.engines(), kind, name, &read()?)?,
        };
        let guest = Arc::new(Guest::link(self.engines(), kind, component, handler)?);
        let mut guests = self.guests();
        guests.retain(|_, guest| guest.strong_count() > 0);
        guests.insert(key, Arc::downgrade(&guest));
        Ok(guest)
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, HashMap<GuestKey, Weak<Guest>>> {
        self.inner
            .guests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Runtime")
            .field("scratch", &self.inner.scratch)
            .finish_non_exhaustive()
    }
}

fn handler_name(handler: Handler) -> &'static str {
    match handler {
        Handler::Http => "http",
        Handler::HttpConcurrent => "http-concurrent",
        Handler::Command => "command",
    }
}

fn clear(directory: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(directory)
}
