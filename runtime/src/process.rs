//! A process type of one release: code compiled and linked, environment settled.

use crate::boot;
use crate::environment;
use crate::error::LoadError;
use crate::exec::ExecSpec;
use crate::log::{LogSink, NoLog};
use crate::runtime::Runtime;
use arc_swap::ArcSwap;
use dyno_sandbox::{Destination, EngineKind, Guest, Handler, KeyValue, Mount, Outbound};
use dyno_slug::{Boot, ProcessType, ProcessTypeName, Reuse, StoredSlug, World};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What a [`Process`] is made from.
#[derive(Clone)]
pub struct ProcessSpec {
    /// The app's name, for messages.
    pub app: String,
    /// The release's name, `v3`, for messages.
    pub release: String,
    /// The slug.
    pub slug: StoredSlug,
    /// Which of its process types.
    pub process_type: ProcessTypeName,
    /// The release's config vars.
    pub config_vars: BTreeMap<String, String>,
    /// What its dynos may reach beside what the host allows: its databases.
    pub allowed: Vec<Destination>,
    /// Where lines go that belong to no dyno: what the app prints while its heap is snapshotted.
    pub log: Arc<dyn LogSink>,
}

impl ProcessSpec {
    /// A process type without config vars or log.
    pub fn new(app: impl Into<String>, slug: StoredSlug, process_type: ProcessTypeName) -> Self {
        Self {
            app: app.into(),
            release: "v1".into(),
            slug,
            process_type,
            config_vars: BTreeMap::new(),
            allowed: Vec::new(),
            log: Arc::new(NoLog),
        }
    }
}

impl fmt::Debug for ProcessSpec {
    /// Without the config vars: they are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProcessSpec")
            .field("app", &self.app)
            .field("release", &self.release)
            .field("slug", self.slug.digest())
            .field("process_type", &self.process_type)
            .finish_non_exhaustive()
    }
}

/// How a core module begins; a component differs in the version.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A process type of one release, ready to run. Clones share everything.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    spec: Spec,
    process_type: ProcessType,
    environment: BTreeMap<String, String>,
    code: Option<Code>,
    outbound: Outbound,
    key_value: Arc<KeyValue>,
    boot: watch::Sender<BootProgress>,
}

/// Where a process comes from.
enum Spec {
    Slug(ProcessSpec),
    /// A bare component, with what it sees beside a private `/tmp`.
    Component {
        name: ProcessTypeName,
        mounts: Vec<Mount>,
    },
}

/// The code that runs, which the boot image replaces once it is ready.
struct Code {
    handler: Handler,
    current: ArcSwap<Guest>,
    path: PathBuf,
}

/// Whether a boot image is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BootProgress {
    Booting,
    Done,
}

impl Process {
    /// Compiles (or maps) the component of a process type and links it.
    ///
    /// Where the component has a `boot`, its heap snapshot is looked up, or made in the background: dynos come up once
    /// it is there. When the app cannot be booted ahead (it wants a database while it loads, say), instances
    /// start from the base instead and load the app at their first request.
    ///
    /// # Errors
    /// [`LoadError`] when the slug has no such process type, or its component cannot be compiled or linked.
    pub async fn load(runtime: &Runtime, spec: ProcessSpec) -> Result<Self, LoadError> {
        let manifest = spec.slug.manifest();
        let process_type = manifest
            .process_types
            .get(&spec.process_type)
            .cloned()
            .ok_or_else(|| {
                let known: Vec<_> = manifest
                    .process_types
                    .keys()
                    .map(ProcessTypeName::as_str)
                    .collect();
                LoadError::NoSuchProcess {
                    name: spec.process_type.to_string(),
                    known: known.join(", "),
                }
            })?;
        let code = Self::code(runtime, &spec, &process_type).await?;
        let environment = environment::of_release(&process_type.environment, &spec.config_vars);
        let boots = process_type.boot == Boot::Release && process_type.world == World::HttpProxy;
        let booting = spec.clone();
        let boot = watch::Sender::new(if boots {
            BootProgress::Booting
        } else {
            BootProgress::Done
        });
        let outbound = runtime.way_out(&spec.allowed);
        let key_value = runtime.key_value(&spec.app);
        let process = Self {
            inner: Arc::new(Inner {
                spec: Spec::Slug(spec),
                process_type,
                environment,
                code,
                outbound,
                key_value,
                boot,
            }),
        };
        if boots {
            boot::begin(runtime, &process, &booting).await;
        }
        Ok(process)
    }

    /// A process of a bare component, or of a command module of preview 1, outside any slug. It has the files that `spec`
    /// mounts and a private `/tmp`.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be compiled or linked.
    pub async fn of_component(runtime: &Runtime, spec: ExecSpec) -> Result<Self, LoadError> {
        let handler = handler_of(spec.world)?;
        let digest = dyno_slug::Digest::of(&spec.component).hex();
        let (worker, component) = (runtime.clone(), spec.component);
        let load = move || {
            if component.starts_with(CORE_MODULE) {
                return Ok(Arc::new(Guest::of_module(worker.engines(), &component)?));
            }
            match worker.guest(&digest, kind_of(handler), handler, || Ok(component.clone())) {
                // A command may be of 0.3, which only the other engine compiles and links.
                Err(LoadError::Guest(_) | LoadError::Code(_)) if handler == Handler::Command => {
                    worker.guest(&digest, EngineKind::Concurrent, handler, || Ok(component))
                }
                result => result,
            }
        };
        let guest = runtime
            .threads()
            .spawn_blocking(load)
            .await
            .map_err(|error| LoadError::Interrupted(error.to_string()))??;
        let name = "web"
            .parse()
            .map_err(|error| LoadError::Damaged(format!("{error}")))?;
        let process_type = ProcessType {
            command: spec.arguments.join(" "),
            component: None,
            world: spec.world,
            arguments: spec.arguments,
            environment: BTreeMap::new(),
            boot: Boot::Start,
            reuse: Reuse::Instance,
            static_site: None,
        };
        let code = Code {
            handler,
            current: ArcSwap::new(guest),
            path: PathBuf::new(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                spec: Spec::Component {
                    name,
                    mounts: spec.mounts,
                },
                process_type,
                environment: spec.environment,
                code: Some(code),
                outbound: runtime.way_out(&[]),
                key_value: Arc::default(),
                boot: watch::Sender::new(BootProgress::Done),
            }),
        })
    }

    /// The guest of a one-off command: this process's component, called as a command.
    pub(crate) async fn command_guest(&self, runtime: &Runtime) -> Result<Arc<Guest>, LoadError> {
        if let Some(guest) = self
            .guest()
            .filter(|_| self.handler() == Some(Handler::Command))
        {
            return Ok(guest);
        }
        let Spec::Slug(spec) = &self.inner.spec else {
            return Err(LoadError::Damaged("the component is not a command".into()));
        };
        Self::load_guest(runtime, spec, &self.inner.process_type, Handler::Command)
            .await
            .map(|(guest, _)| guest)
    }

    async fn code(
        runtime: &Runtime,
        spec: &ProcessSpec,
        process_type: &ProcessType,
    ) -> Result<Option<Code>, LoadError> {
        if process_type.world == World::Static {
            return Ok(None);
        }
        let handler = handler_of(process_type.world)?;
        let (guest, path) = Self::load_guest(runtime, spec, process_type, handler).await?;
        Ok(Some(Code {
            handler,
            current: ArcSwap::new(guest),
            path,
        }))
    }

    async fn load_guest(
        runtime: &Runtime,
        spec: &ProcessSpec,
        process_type: &ProcessType,
        handler: Handler,
    ) -> Result<(Arc<Guest>, PathBuf), LoadError> {
        let digest = process_type.component.ok_or_else(|| {
            LoadError::Damaged(format!(
                "process type \"{}\" names no component",
                spec.process_type
            ))
        })?;
        let path = spec.slug.component_path(&digest);
        let (worker, file) = (runtime.clone(), path.clone());
        let load = move || {
            worker.guest(&digest.hex(), kind_of(handler), handler, || {
                let bytes = fs::read(&file).map_err(|source| LoadError::Read {
                    path: file.clone(),
                    source,
                })?;
                if dyno_slug::Digest::of(&bytes) != digest {
                    return Err(LoadError::Damaged(format!(
                        "component {} does not match its digest",
                        file.display()
                    )));
                }
                Ok(bytes)
            })
        };
        let guest = runtime
            .threads()
            .spawn_blocking(load)
            .await
            .map_err(|error| LoadError::Interrupted(error.to_string()))??;
        Ok((guest, path))
    }

    /// The Procfile's line.
    pub fn command(&self) -> &str {
        &self.inner.process_type.command
    }

    /// Its process type's name.
    pub fn process_type(&self) -> &ProcessTypeName {
        match &self.inner.spec {
            Spec::Slug(spec) => &spec.process_type,
            Spec::Component { name, .. } => name,
        }
    }

    /// The world its component is made for.
    pub fn world(&self) -> World {
        self.inner.process_type.world
    }

    /// Whether the release's boot image is still being made.
    pub(crate) fn boot_progress(&self) -> watch::Receiver<BootProgress> {
        self.inner.boot.subscribe()
    }

    /// The slug it comes from; `None` for a bare component.
    pub(crate) fn slug(&self) -> Option<&StoredSlug> {
        match &self.inner.spec {
            Spec::Slug(spec) => Some(&spec.slug),
            Spec::Component { .. } => None,
        }
    }

    /// What a bare component sees.
    pub(crate) fn extra_mounts(&self) -> &[Mount] {
        match &self.inner.spec {
            Spec::Slug(_) => &[],
            Spec::Component { mounts, .. } => mounts,
        }
    }

    pub(crate) fn manifest_entry(&self) -> &ProcessType {
        &self.inner.process_type
    }

    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.inner.environment
    }

    /// How its dynos reach the network: one for all of them, so that they share connections and bounds.
    pub(crate) fn outbound(&self) -> &Outbound {
        &self.inner.outbound
    }

    /// What its dynos find under `wasi:keyvalue`.
    pub(crate) fn key_value(&self) -> &Arc<KeyValue> {
        &self.inner.key_value
    }

    /// The app's name; none for a bare component.
    pub(crate) fn app(&self) -> &str {
        match &self.inner.spec {
            Spec::Slug(spec) => &spec.app,
            Spec::Component { .. } => "",
        }
    }

    pub(crate) fn reuses_instances(&self) -> bool {
        self.inner.process_type.reuse == Reuse::Instance
    }

    pub(crate) fn component_path(&self) -> Option<&PathBuf> {
        self.inner.code.as_ref().map(|code| &code.path)
    }

    /// The guest to make instances from now; `None` for static sites.
    pub(crate) fn guest(&self) -> Option<Arc<Guest>> {
        self.inner
            .code
            .as_ref()
            .map(|code| code.current.load_full())
    }

    pub(crate) fn handler(&self) -> Option<Handler> {
        self.inner.code.as_ref().map(|code| code.handler)
    }

    /// From now on instances are made from the booted image.
    pub(crate) fn use_booted(&self, guest: Arc<Guest>) {
        if let Some(code) = &self.inner.code {
            code.current.store(guest);
        }
        self.boot_ended();
    }

    /// There will be no (other) image: instances start from what there is.
    pub(crate) fn boot_ended(&self) {
        self.inner.boot.send_replace(BootProgress::Done);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Process")
            .field("process_type", self.process_type())
            .finish_non_exhaustive()
    }
}

fn handler_of(world: World) -> Result<Handler, LoadError> {
    match world {
        World::HttpProxy => Ok(Handler::Http),
        World::HttpService => Ok(Handler::HttpConcurrent),
        World::Command => Ok(Handler::Command),
        world => Err(LoadError::Damaged(format!(
            "world {world} is not run from a component by this version"
        ))),
    }
}

fn kind_of(handler: Handler) -> EngineKind {
    match handler {
        Handler::HttpConcurrent => EngineKind::Concurrent,
        Handler::Http | Handler::Command => EngineKind::Sequential,
    }
}
