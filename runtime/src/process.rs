//! A process type of one release: which code runs, with which files and environment.

use crate::boot;
use crate::environment;
use crate::error::LoadError;
use crate::exec::ExecSpec;
use crate::log::{LogSink, NoLog};
use crate::runtime::Runtime;
use crate::static_site::StaticSite;
use dyno_sandbox::{
    CodeCacheError, Destination, EngineKind, Guest, Handler, KeyValue, Mount, Outbound,
};
use dyno_slug::{
    Boot, Digest, MountPath, ProcessType, ProcessTypeName, Reuse, SlugDigest, StoredSlug, World,
};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
///
/// It holds names, not code: the code is mapped while a dyno runs it, and the most recently used stay mapped for a while.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    origin: Origin,
    process_type: ProcessType,
    code: Option<Code>,
    /// The site of files, while a dyno of it is warm.
    site: Mutex<Weak<StaticSite>>,
    outbound: Outbound,
    key_value: Arc<KeyValue>,
}

/// Where a process comes from.
enum Origin {
    Release(Release),
    /// A bare component, with what it sees beside a private `/tmp`.
    Component {
        name: ProcessTypeName,
        environment: BTreeMap<String, String>,
        mounts: Vec<Mount>,
    },
}

/// What is kept of a release: enough to run it. The slug's manifest is not: it is ten times as large.
pub(crate) struct Release {
    /// The app's name, for messages.
    pub(crate) app: Box<str>,
    /// `v3`, for messages.
    pub(crate) version: Box<str>,
    pub(crate) slug: SlugDigest,
    process_type: ProcessTypeName,
    layers: Box<[FileTree]>,
    config_vars: BTreeMap<String, String>,
    pub(crate) log: Arc<dyn LogSink>,
}

/// A layer of the slug, unpacked and read-only.
#[derive(Debug)]
pub(crate) struct FileTree {
    pub(crate) tree: PathBuf,
    pub(crate) mount: MountPath,
}

/// The code that runs: a name in the cache, of the component or, once it is there, of the booted image.
struct Code {
    handler: Handler,
    kind: EngineKind,
    component: Digest,
    /// The portable form; none for a bare component, whose code stays mapped.
    path: PathBuf,
    pinned: Option<Arc<Guest>>,
    image: Mutex<Image>,
}

/// Whether there is a boot image.
enum Image {
    /// There is none, or it could not be made.
    None,
    /// It is being made; those who wait are told by the sender's end.
    Booting(watch::Sender<()>),
    /// This is its name in the cache.
    Ready(Box<str>),
}

impl Process {
    /// Makes sure that the component of a process type is compiled and can be linked.
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
        let code = Code::of(&spec, &process_type)?;
        let boots = process_type.boot == Boot::Release && process_type.world == World::HttpProxy;
        let outbound = runtime.way_out(&spec.allowed);
        let key_value = runtime.key_value(&spec.app);
        let process = Self {
            inner: Arc::new(Inner {
                origin: Origin::Release(Release::of(spec)),
                process_type,
                code,
                site: Mutex::default(),
                outbound,
                key_value,
            }),
        };
        process.compile(runtime).await?;
        if boots {
            boot::begin(runtime, &process).await;
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
        let digest = Digest::of(&spec.component);
        let (host, component) = (runtime.clone(), spec.component);
        let load = move || {
            if component.starts_with(CORE_MODULE) {
                let guest = Guest::of_module(host.engines(), &component)?;
                return Ok((Arc::new(guest), EngineKind::Sequential));
            }
            let map = |kind| host.map(&digest.hex(), kind, handler, || Ok(component.clone()));
            match map(kind_of(handler)) {
                // A command may be of 0.3, which only the other engine compiles and links.
                Err(LoadError::Guest(_) | LoadError::Code(_)) if handler == Handler::Command => {
                    let kind = EngineKind::Concurrent;
                    map(kind).map(|guest| (guest, kind))
                }
                result => result.map(|guest| (guest, kind_of(handler))),
            }
        };
        let (guest, kind) = runtime
            .threads()
            .spawn_blocking(load)
            .await
            .map_err(|error| LoadError::Interrupted(error.to_string()))??;
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
            kind,
            component: digest,
            path: PathBuf::new(),
            pinned: Some(guest),
            image: Mutex::new(Image::None),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                origin: Origin::Component {
                    name: ProcessTypeName::web(),
                    environment: spec.environment,
                    mounts: spec.mounts,
                },
                process_type,
                code: Some(code),
                site: Mutex::default(),
                outbound: runtime.way_out(&[]),
                key_value: Arc::default(),
            }),
        })
    }

    /// Compiles the component unless that was done before; what was just compiled is linked once, so that a component
    /// that cannot be is refused here and not at its first request.
    async fn compile(&self, runtime: &Runtime) -> Result<(), LoadError> {
        let Some(code) = &self.inner.code else {
            return Ok(());
        };
        let name = code.component.hex();
        if runtime
            .cache()
            .contains(runtime.engines(), code.kind, &name)
        {
            return Ok(());
        }
        let (host, process) = (runtime.clone(), self.clone());
        let compiled = runtime
            .threads()
            .spawn_blocking(move || process.guest(&host).map(drop))
            .await
            .map_err(|error| LoadError::Interrupted(error.to_string()))?;
        if matches!(compiled, Err(LoadError::Guest(_))) {
            // Or the next try would find it and think it sound.
            runtime.cache().remove(runtime.engines(), code.kind, &name);
        }
        compiled
    }

    /// The code to make instances from now, mapped: the booted image if there is one. Blocks for milliseconds.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be mapped, linked or, where the cache has lost it, compiled again.
    pub(crate) fn guest(&self, runtime: &Runtime) -> Result<Arc<Guest>, LoadError> {
        let code = self.code()?;
        if let Some(guest) = &code.pinned {
            return Ok(guest.clone());
        }
        if let Some(image) = code.ready_image() {
            match runtime.map_known(&image, code.kind, code.handler) {
                Ok(Some(guest)) => return Ok(guest),
                // The cache is bounded: an image that was not used for long may be gone.
                Ok(None) => boot::begin_again(runtime, self),
                Err(error @ LoadError::Code(CodeCacheError::OutOfMemory(_))) => return Err(error),
                Err(error) => {
                    tracing::warn!("a boot image could not be used and is made again: {error}");
                    boot::begin_again(runtime, self);
                }
            }
        }
        code.map(runtime, code.handler)
    }

    /// The guest of a one-off command: this process's component, called as a command. Blocks for milliseconds.
    pub(crate) fn command_guest(&self, runtime: &Runtime) -> Result<Arc<Guest>, LoadError> {
        let code = self.code()?;
        match (&code.pinned, code.handler) {
            (_, Handler::Command) => self.guest(runtime),
            (Some(_), _) => Err(LoadError::Damaged("the component is not a command".into())),
            (None, _) => code.map(runtime, Handler::Command),
        }
    }

    /// Notes which pages of its code a start has touched, once. Blocks for milliseconds.
    pub(crate) fn record_pages(&self, runtime: &Runtime) {
        if let Some(code) = self
            .inner
            .code
            .as_ref()
            .filter(|code| code.pinned.is_none())
        {
            let name = code
                .ready_image()
                .unwrap_or_else(|| code.component.hex().into());
            runtime
                .cache()
                .record_pages(runtime.engines(), code.kind, &name);
        }
    }

    /// The site of files, opened once for all dynos that are warm. Blocks.
    ///
    /// # Errors
    /// [`LoadError`] when the slug has no files or settings that mean nothing.
    pub(crate) fn site(&self) -> Result<Arc<StaticSite>, LoadError> {
        let mut known = self
            .inner
            .site
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = known.upgrade() {
            return Ok(site);
        }
        let mut layers = self.layers().unwrap_or_default().iter();
        let app = layers
            .find(|layer| layer.mount.is_app())
            .ok_or_else(|| LoadError::Damaged("it has no files to serve".into()))?;
        let settings = self.manifest_entry().static_site.clone();
        let site = StaticSite::open(app.tree.clone(), &settings.unwrap_or_default())?;
        let site = Arc::new(site);
        *known = Arc::downgrade(&site);
        Ok(site)
    }

    fn code(&self) -> Result<&Code, LoadError> {
        let code = self.inner.code.as_ref();
        code.ok_or_else(|| LoadError::Damaged("the process has no code".into()))
    }

    /// The Procfile's line.
    pub fn command(&self) -> &str {
        &self.inner.process_type.command
    }

    /// What its component is called with, `argv[0]` included; empty for handlers.
    pub fn arguments(&self) -> &[String] {
        &self.inner.process_type.arguments
    }

    /// Its process type's name.
    pub fn process_type(&self) -> &ProcessTypeName {
        match &self.inner.origin {
            Origin::Release(release) => &release.process_type,
            Origin::Component { name, .. } => name,
        }
    }

    /// The world its component is made for.
    pub fn world(&self) -> World {
        self.inner.process_type.world
    }

    /// The release it comes from; `None` for a bare component.
    pub(crate) fn release(&self) -> Option<&Release> {
        match &self.inner.origin {
            Origin::Release(release) => Some(release),
            Origin::Component { .. } => None,
        }
    }

    /// The slug's file layers, in mount order; `None` for a bare component.
    pub(crate) fn layers(&self) -> Option<&[FileTree]> {
        self.release().map(|release| &*release.layers)
    }

    /// What a bare component sees.
    pub(crate) fn extra_mounts(&self) -> &[Mount] {
        match &self.inner.origin {
            Origin::Release(_) => &[],
            Origin::Component { mounts, .. } => mounts,
        }
    }

    pub(crate) fn manifest_entry(&self) -> &ProcessType {
        &self.inner.process_type
    }

    /// What `boot` sees of the environment, made when it is asked for.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        match &self.inner.origin {
            Origin::Release(release) => {
                environment::of_release(&self.inner.process_type.environment, &release.config_vars)
            }
            Origin::Component { environment, .. } => environment.clone(),
        }
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
        match &self.inner.origin {
            Origin::Release(release) => &release.app,
            Origin::Component { .. } => "",
        }
    }

    pub(crate) fn reuses_instances(&self) -> bool {
        self.inner.process_type.reuse == Reuse::Instance
    }

    pub(crate) fn component_path(&self) -> Option<&PathBuf> {
        self.inner.code.as_ref().map(|code| &code.path)
    }

    pub(crate) fn handler(&self) -> Option<Handler> {
        self.inner.code.as_ref().map(|code| code.handler)
    }

    /// Resolves when the release's boot image is there, or when there will be none.
    pub(crate) async fn booted(&self) {
        let waiting = self.inner.code.as_ref().and_then(Code::boot_end);
        if let Some(mut end) = waiting {
            // The sender never sends: its end is the news.
            drop(end.changed().await);
        }
    }

    /// Whether the image is being made by somebody else; if not, the caller makes it.
    pub(crate) fn claim_boot(&self) -> bool {
        let Some(code) = &self.inner.code else {
            return false;
        };
        let mut image = code.image();
        let free = !matches!(*image, Image::Booting(_));
        if free {
            *image = Image::Booting(watch::Sender::new(()));
        }
        free
    }

    /// From now on instances are made from this image, or from the component when there is none.
    pub(crate) fn boot_ended(&self, name: Option<&str>) {
        if let Some(code) = &self.inner.code {
            *code.image() = name.map_or(Image::None, |name| Image::Ready(name.into()));
        }
    }
}

impl Code {
    fn of(spec: &ProcessSpec, process_type: &ProcessType) -> Result<Option<Self>, LoadError> {
        if process_type.world == World::Static {
            return Ok(None);
        }
        let handler = handler_of(process_type.world)?;
        let component = process_type.component.ok_or_else(|| {
            LoadError::Damaged(format!(
                "process type \"{}\" names no component",
                spec.process_type
            ))
        })?;
        Ok(Some(Self {
            handler,
            kind: kind_of(handler),
            component,
            path: spec.slug.component_path(&component),
            pinned: None,
            image: Mutex::new(Image::None),
        }))
    }

    /// The component as it is in the slug.
    fn map(&self, runtime: &Runtime, handler: Handler) -> Result<Arc<Guest>, LoadError> {
        runtime.map(&self.component.hex(), kind_of(handler), handler, || {
            let bytes = fs::read(&self.path).map_err(|source| LoadError::Read {
                path: self.path.clone(),
                source,
            })?;
            if Digest::of(&bytes) != self.component {
                return Err(LoadError::Damaged(format!(
                    "component {} does not match its digest",
                    self.path.display()
                )));
            }
            Ok(bytes)
        })
    }

    fn ready_image(&self) -> Option<Box<str>> {
        match &*self.image() {
            Image::Ready(name) => Some(name.clone()),
            Image::None | Image::Booting(_) => None,
        }
    }

    fn boot_end(&self) -> Option<watch::Receiver<()>> {
        match &*self.image() {
            Image::Booting(end) => Some(end.subscribe()),
            Image::None | Image::Ready(_) => None,
        }
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Release {
    fn of(spec: ProcessSpec) -> Self {
        let layers = spec.slug.manifest().layers.iter();
        let layers = layers.map(|layer| FileTree {
            tree: spec.slug.layer_tree(layer),
            mount: layer.mount.clone(),
        });
        Self {
            layers: layers.collect(),
            app: spec.app.into(),
            version: spec.release.into(),
            slug: *spec.slug.digest(),
            process_type: spec.process_type,
            config_vars: spec.config_vars,
            log: spec.log,
        }
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
