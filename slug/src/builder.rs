//! Makes a slug file from its parts.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Read},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use crate::{
    digest::{Digest, SlugDigest},
    error::{Fault, Problem, WriteError},
    image::{BLOBS_DIR, Documents, INDEX_FILE, LAYOUT_FILE, blob_name, documents},
    layer_cache::{LayerCache, unique_suffix},
    layer_writer::{PackedLayer, pack_to_file},
    limits::{BUFFER_BYTES, FORMAT_VERSION, Limits, STACK},
    manifest::{BuildpackInfo, ComponentBlob, FileLayer, ManifestError, SlugManifest},
    mount::MountPath,
    process_type::{Boot, ProcessType, ProcessTypeName, Reuse, World},
    source::FileSource,
};

/// A process type whose component is still a file on this machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessSource {
    /// The Procfile's line, as written.
    pub command: String,
    /// The component's file; `None` only for [`World::Static`].
    pub component: Option<PathBuf>,
    /// What the component exports.
    pub world: World,
    /// `argv` of a command, `argv[0]` included.
    pub arguments: Vec<String>,
    /// Variables the buildpack needs.
    pub environment: BTreeMap<String, String>,
    /// When the app initialises.
    pub boot: Boot,
    /// How long an instance lives.
    pub reuse: Reuse,
    /// Settings of [`World::Static`].
    pub static_site: Option<serde_json::Value>,
}

impl ProcessSource {
    /// A process type with nothing but its command line and world; set the rest on it.
    pub fn new(command: impl Into<String>, world: World) -> Self {
        Self {
            command: command.into(),
            component: None,
            world,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            boot: Boot::default(),
            reuse: Reuse::default(),
            static_site: None,
        }
    }

    /// Sets the component's file.
    #[must_use]
    pub fn component(mut self, path: impl Into<PathBuf>) -> Self {
        self.component = Some(path.into());
        self
    }
}

/// Makes a slug file from its parts: the same parts always give the same bytes.
///
/// See the crate's example. Components and packed layers are streamed, never held in memory whole.
#[derive(Debug)]
pub struct SlugBuilder {
    stack: String,
    buildpacks: Vec<BuildpackInfo>,
    processes: BTreeMap<ProcessTypeName, ProcessSource>,
    default_config_vars: BTreeMap<String, String>,
    app_files: FileSource,
    layers: Vec<(MountPath, FileSource)>,
    layer_cache: Option<LayerCache>,
    limits: Limits,
}

impl SlugBuilder {
    /// A slug with the app's own files, which the guest sees at `/app`.
    pub fn new(app_files: FileSource) -> Self {
        Self {
            stack: STACK.to_owned(),
            buildpacks: Vec::new(),
            processes: BTreeMap::new(),
            default_config_vars: BTreeMap::new(),
            app_files,
            layers: Vec::new(),
            layer_cache: None,
            limits: Limits::default(),
        }
    }

    /// Sets the stack; [`STACK`] unless set.
    #[must_use]
    pub fn stack(mut self, stack: impl Into<String>) -> Self {
        self.stack = stack.into();
        self
    }

    /// Adds a buildpack that took part, in order.
    #[must_use]
    pub fn buildpack(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.buildpacks.push(BuildpackInfo {
            name: name.into(),
            version: version.into(),
        });
        self
    }

    /// Adds a process type, or replaces the one of that name.
    #[must_use]
    pub fn process(mut self, name: ProcessTypeName, process: ProcessSource) -> Self {
        self.processes.insert(name, process);
        self
    }

    /// Adds a config var that new apps start with, or replaces the one of that name.
    #[must_use]
    pub fn default_config_var(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.default_config_vars.insert(name.into(), value.into());
        self
    }

    /// Adds a read-only file layer, mounted after those added before it.
    #[must_use]
    pub fn layer(mut self, mount: MountPath, files: FileSource) -> Self {
        self.layers.push((mount, files));
        self
    }

    /// Keeps packed layers (not the app's own files) in `directory`, so that a layer which many
    /// slugs share is compressed once. At most 64 are kept.
    #[must_use]
    pub fn layer_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.layer_cache = Some(LayerCache::new(directory.into()));
        self
    }

    /// Sets the limits; [`Limits::default`] unless set.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes the slug to `path` and answers its digest.
    ///
    /// The file appears whole, on disk, or not at all; one that was there is replaced.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<SlugDigest, WriteError> {
        let path = path.as_ref();
        let work = WorkDir::create(beside(path))?;
        let mut sources = BTreeMap::new();
        let components = self.components(&mut sources)?;
        let layers = self.pack_layers(&work, &mut sources)?;
        let manifest = self.manifest(components, layers)?;
        manifest.check(&self.limits).map_err(WriteError::Manifest)?;
        let config = manifest.to_json().map_err(WriteError::Manifest)?;
        let documents = documents(manifest, config).map_err(document_error)?;
        let slug = work.path.join("slug");
        self.write_archive(&documents, &sources, &slug)?;
        fs::rename(&slug, path).map_err(failed("renaming to", path))?;
        sync_directory(&beside(path))?;
        Ok(documents.image.digest)
    }

    /// Digests every component file once, however many process types name it.
    fn components(
        &self,
        sources: &mut BTreeMap<Digest, PathBuf>,
    ) -> Result<BTreeMap<PathBuf, ComponentBlob>, WriteError> {
        let mut components = BTreeMap::new();
        for path in self
            .processes
            .values()
            .filter_map(|process| process.component.as_ref())
        {
            if components.contains_key(path) {
                continue;
            }
            let file = open_component(path, &self.limits)?;
            let (digest, size) = Digest::of_reader(file).map_err(failed("reading", path))?;
            components.insert(path.clone(), ComponentBlob { digest, size });
            sources.insert(digest, path.clone());
        }
        Ok(components)
    }

    fn pack_layers(
        &self,
        work: &WorkDir,
        sources: &mut BTreeMap<Digest, PathBuf>,
    ) -> Result<Vec<FileLayer>, WriteError> {
        let mut layers = Vec::new();
        let app = work.path.join("app-files");
        let packed = pack_to_file(&self.app_files, &self.limits, &app)?;
        layers.push(file_layer(packed, MountPath::app()));
        sources.insert(packed.digest, app);
        for (index, (mount, files)) in self.layers.iter().enumerate() {
            let (path, packed) = match &self.layer_cache {
                Some(cache) => {
                    let (cached, packed) = cache.pack(files, &self.limits)?;
                    // A second name for the file: another build's eviction must not take it away.
                    let path = work.path.join(format!("layer-{index}"));
                    if fs::hard_link(&cached, &path).is_err() {
                        fs::copy(&cached, &path).map_err(failed("copying", &cached))?;
                    }
                    (path, packed)
                }
                None => {
                    let path = work.path.join(format!("layer-{index}"));
                    let packed = pack_to_file(files, &self.limits, &path)?;
                    (path, packed)
                }
            };
            layers.push(file_layer(packed, mount.clone()));
            sources.insert(packed.digest, path);
        }
        Ok(layers)
    }

    fn manifest(
        &self,
        components: BTreeMap<PathBuf, ComponentBlob>,
        layers: Vec<FileLayer>,
    ) -> Result<SlugManifest, WriteError> {
        let mut process_types = BTreeMap::new();
        for (name, process) in &self.processes {
            let component = process
                .component
                .as_ref()
                .and_then(|path| components.get(path));
            if process.component.is_none() && process.world != World::Static {
                return Err(WriteError::Manifest(ManifestError::Invalid {
                    key: format!("process_types.{name}.component"),
                    problem: "missing; only world \"static\" has none".to_owned(),
                }));
            }
            process_types.insert(
                name.clone(),
                ProcessType {
                    command: process.command.clone(),
                    component: component.map(|component| component.digest),
                    world: process.world,
                    arguments: process.arguments.clone(),
                    environment: process.environment.clone(),
                    boot: process.boot,
                    reuse: process.reuse,
                    static_site: process.static_site.as_ref().map(sorted),
                },
            );
        }
        let mut components: Vec<_> = components.into_values().collect();
        components.sort_by_key(|component| component.digest);
        components.dedup_by_key(|component| component.digest);
        Ok(SlugManifest {
            format_version: FORMAT_VERSION,
            stack: self.stack.clone(),
            buildpacks: self.buildpacks.clone(),
            process_types,
            default_config_vars: self.default_config_vars.clone(),
            components,
            layers,
        })
    }

    /// Documents first, so that a reader of the stream knows what comes; then blobs by digest.
    fn write_archive(
        &self,
        documents: &Documents,
        sources: &BTreeMap<Digest, PathBuf>,
        path: &Path,
    ) -> Result<(), WriteError> {
        let file = File::create(path).map_err(failed("creating", path))?;
        let mut archive = Builder::new(BufWriter::with_capacity(BUFFER_BYTES, file));
        let digest = documents.image.digest;
        for (name, bytes) in [
            (LAYOUT_FILE.to_owned(), &documents.layout),
            (INDEX_FILE.to_owned(), &documents.index),
            (blob_name(digest.as_digest()), &documents.manifest),
            (blob_name(&Digest::of(&documents.config)), &documents.config),
        ] {
            let mut header = header(bytes.len() as u64);
            archive
                .append_data(&mut header, name, bytes.as_slice())
                .map_err(failed("writing", path))?;
        }
        let sizes: BTreeMap<_, _> = documents
            .image
            .blobs
            .iter()
            .map(|blob| (blob.digest, blob.size))
            .collect();
        for (digest, source) in sources {
            let size = sizes.get(digest).copied().unwrap_or_default();
            let file = File::open(source).map_err(failed("opening", source))?;
            let mut body = crate::digest::HashingReader::new(file.take(size));
            let mut header = header(size);
            archive
                .append_data(&mut header, blob_name(digest), &mut body)
                .map_err(failed("writing", path))?;
            if body.finish() != (*digest, size) {
                return Err(WriteError::Changed {
                    path: source.clone(),
                });
            }
        }
        let buffered = archive.into_inner().map_err(failed("writing", path))?;
        let file = buffered
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .map_err(failed("writing", path))?;
        let size = file.metadata().map_err(failed("looking at", path))?.len();
        if size > self.limits.slug_bytes_max {
            return Err(WriteError::TooLarge {
                size,
                limit: self.limits.slug_bytes_max,
            });
        }
        file.sync_all().map_err(failed("writing", path))
    }
}

fn open_component(path: &Path, limits: &Limits) -> Result<File, WriteError> {
    let metadata = fs::metadata(path).map_err(failed("looking at the component", path))?;
    if !metadata.is_file() {
        return Err(WriteError::Source {
            path: path.to_owned(),
            problem: Problem::Kind("no regular file"),
        });
    }
    if metadata.len() > limits.component_bytes_max {
        return Err(WriteError::Source {
            path: path.to_owned(),
            problem: Problem::Limit {
                what: "the size of a component in bytes",
                limit: limits.component_bytes_max,
            },
        });
    }
    File::open(path).map_err(failed("opening the component", path))
}

fn file_layer(packed: PackedLayer, mount: MountPath) -> FileLayer {
    FileLayer {
        digest: packed.digest,
        size: packed.size,
        unpacked_size: packed.unpacked_size,
        mount,
    }
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// JSON objects with their keys in order, whatever order this build of `serde_json` keeps.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            serde_json::Value::Object(ordered.into_iter().collect())
        }
        serde_json::Value::Array(values) => {
            serde_json::Value::Array(values.iter().map(sorted).collect())
        }
        other => other.clone(),
    }
}

fn document_error(fault: Fault) -> WriteError {
    let problem = match fault {
        Fault::Refused { entry, problem } => format!("{entry}: {problem}"),
        Fault::Io { action, source } => format!("{action}: {source}"),
    };
    WriteError::Manifest(ManifestError::Invalid {
        key: BLOBS_DIR.to_owned(),
        problem,
    })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io {
        action,
        path,
        source,
    }
}

fn beside(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sync_directory(path: &Path) -> Result<(), WriteError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("syncing", path))
}

/// A private directory beside the slug, on the same file system, removed with everything in it.
struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    fn create(parent: PathBuf) -> Result<Self, WriteError> {
        loop {
            let path = parent.join(format!(".slug-{}.partial", unique_suffix()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left by a killed process that had our process id: the next number is free some time.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("creating", &path)(error)),
            }
        }
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl std::fmt::Debug for WorkDir {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.fmt(formatter)
    }
}
