//! The host: engines, caches, threads and scratch space that all dynos share.

use crate::budget::Budget;
use crate::error::{LoadError, RuntimeError};
use crate::limits::{BOOTS_AT_ONCE, IDLE_AFTER, IDLE_CHECK};
use crate::mapped::{Fresh, GuestKey, Mapped};
use crate::memory_budget::{LOOK_PERIOD, MemoryBudget, anonymous_bytes};
use crate::warm::Warm;
use dyno_sandbox::limits::CODE_CACHE_BYTES_MAX;
use dyno_sandbox::{
    CodeCache, Destination, EgressPolicy, EngineKind, EngineOptions, Engines, Guest, GuestThreads,
    Handler, HostInterfaces, KeyValue, NativeCode, Outbound, TrustedRoots,
};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Shortest pause between two looks at the dynos.
const SWEEP_MIN: Duration = Duration::from_millis(10);

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
    /// After this long without a request a dyno drops its instances.
    pub idle_after: Duration,
    /// Bytes of anonymous memory that this process may use. Near it quiet dynos are put to rest, the longest quiet
    /// first; at it requests to dynos at rest are refused and guests get no more. `None` is no bound.
    pub memory_bytes_max: Option<u64>,
    /// Bytes of compiled code and boot images on disk; the least recently used go first.
    pub code_cache_bytes_max: u64,
    /// Whose certificates their TLS connections trust.
    pub trusted_roots: TrustedRoots,
    /// What guests may import beside WASI, `wasi:config` and `wasi:keyvalue`.
    pub interfaces: HostInterfaces,
}

impl RuntimeOptions {
    /// The defaults: 1,000 instances, a guest thread per CPU, public addresses only, idle after a minute.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            instance_slots_max: EngineOptions::default().instance_slots_max,
            guest_threads: std::thread::available_parallelism().map_or(2, usize::from),
            egress: EgressPolicy::default(),
            idle_after: IDLE_AFTER,
            memory_bytes_max: None,
            code_cache_bytes_max: CODE_CACHE_BYTES_MAX,
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
    idle_after: Duration,
    mapped: Mapped,
    warm: Warm,
    memory: MemoryBudget,
    key_values: Mutex<HashMap<String, Weak<KeyValue>>>,
}

impl Runtime {
    /// Sets up the host. Files that dynos of an earlier process left are removed.
    ///
    /// # Errors
    /// [`RuntimeError`] when a directory, a thread or the engine is not to be had.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let cache = CodeCache::open(
            options.state_dir.join("native"),
            options.code_cache_bytes_max,
        )?;
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
        let budget = Budget::of_this_system(options.instance_slots_max);
        for advice in &budget.advice {
            tracing::warn!("{advice}");
        }
        let runtime = Self {
            inner: Arc::new(Inner {
                engines,
                cache,
                threads,
                scratch,
                egress: options.egress,
                trusted_roots: options.trusted_roots,
                boots: Arc::new(Semaphore::new(BOOTS_AT_ONCE)),
                idle_after: options.idle_after,
                mapped: Mapped::new(budget.mapped_max),
                warm: Warm::default(),
                memory: MemoryBudget::new(options.memory_bytes_max),
                key_values: Mutex::new(HashMap::new()),
            }),
        };
        let period = IDLE_CHECK.min(options.idle_after).max(SWEEP_MIN);
        let sweeper = sweep(Arc::downgrade(&runtime.inner), period);
        runtime.threads().spawn(sweeper);
        if options.memory_bytes_max.is_some() {
            let watch = watch_memory(Arc::downgrade(&runtime.inner));
            runtime.threads().spawn(watch);
        }
        Ok(runtime)
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

    /// The components that are mapped.
    pub(crate) fn mapped(&self) -> &Mapped {
        &self.inner.mapped
    }

    /// The dynos that hold instances.
    pub(crate) fn warm(&self) -> &Warm {
        &self.inner.warm
    }

    /// What is left of the host's memory.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.inner.memory
    }

    /// Waits for memory for a dyno that wants to start; false when there is none.
    pub(crate) async fn has_room(&self) -> bool {
        self.memory().has_room(self.warm(), self.mapped()).await
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
    /// map their base once. `name` identifies the bytes that `read` gives, should it have to be compiled. Blocks.
    pub(crate) fn map(
        &self,
        name: &str,
        kind: EngineKind,
        handler: Handler,
        read: impl FnOnce() -> Result<Vec<u8>, LoadError>,
    ) -> Result<Arc<Guest>, LoadError> {
        let read = Cell::new(Some(read));
        self.mapped().get(&key(name, kind, handler), || {
            let code = match self.cache().find(self.engines(), kind, name)? {
                Some(code) => code,
                None => match read.take() {
                    Some(read) => self.cache().compile(self.engines(), kind, name, &read()?)?,
                    // Compiled a moment ago and not found again: the cache is too small for it.
                    None => return Err(LoadError::Damaged(format!("no code is kept of {name}"))),
                },
            };
            self.link(code, kind, handler)
        })
    }

    /// The linked form of what was compiled earlier, if the cache still has it. Blocks.
    pub(crate) fn map_known(
        &self,
        name: &str,
        kind: EngineKind,
        handler: Handler,
    ) -> Result<Option<Arc<Guest>>, LoadError> {
        let gone = Cell::new(false);
        let mapped = self.mapped().get(&key(name, kind, handler), || {
            match self.cache().find(self.engines(), kind, name)? {
                Some(code) => self.link(code, kind, handler),
                None => {
                    gone.set(true);
                    Err(LoadError::Damaged(format!("no code is kept of {name}")))
                }
            }
        });
        match mapped {
            Err(_) if gone.get() => Ok(None),
            result => result.map(Some),
        }
    }

    fn link(
        &self,
        code: NativeCode,
        kind: EngineKind,
        handler: Handler,
    ) -> Result<Fresh, LoadError> {
        let guest = Guest::link(self.engines(), kind, code.component, handler)?;
        Ok((guest, code.bytes))
    }

    /// What it holds now.
    pub fn usage(&self) -> RuntimeUsage {
        let (mapped, mapped_bytes) = self.mapped().held();
        RuntimeUsage {
            warm_dynos: self.warm().count(),
            mapped_components: mapped,
            mapped_bytes,
            memory_bytes: anonymous_bytes().unwrap_or(0),
        }
    }
}

/// What a host holds at a moment. Idle dynos hold none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeUsage {
    /// Dynos that hold instances, or could without waiting.
    pub warm_dynos: usize,
    /// Components that are mapped.
    pub mapped_components: usize,
    /// Bytes of memory that these hold, about.
    pub mapped_bytes: u64,
    /// Bytes of anonymous memory of the whole process.
    pub memory_bytes: u64,
}

/// Looks again and again which dynos are quiet, until the host is gone.
async fn sweep(host: Weak<Inner>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(host) = host.upgrade() else {
            return;
        };
        host.warm.rest_quiet(host.idle_after);
    }
}

/// Keeps some of the host's memory free, until the host is gone.
async fn watch_memory(host: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK_PERIOD).await;
        let Some(host) = host.upgrade() else {
            return;
        };
        host.memory.look(&host.warm, &host.mapped);
    }
}

fn key(name: &str, kind: EngineKind, handler: Handler) -> GuestKey {
    GuestKey {
        name: name.into(),
        kind,
        handler,
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

fn clear(directory: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(directory)
}
