//! The slug compiler: source in, buildpack run, slug out.

mod assemble;
mod cache;
mod detect;
mod error;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dyno_slug::{SlugDigest, SlugManifest};

use crate::environment::{Places, environment};
use crate::limits;
use crate::packs::{Buildpack, Packs, UnpackError};
use crate::procfile::Procfile;
use crate::release_metadata::ReleaseMetadata;
use crate::script::{self, Cancellation, Errors, Outcome, Script};
use crate::source::SourceTree;

pub use detect::Detected;
pub use error::CompileError;

/// Where the compiler works. All of it is made when it is not there.
#[derive(Clone, Debug)]
pub struct CompilerFolders {
    /// One private folder per running build, below this one; removed when the build ends.
    pub work: PathBuf,
    /// What builds leave for the next build of the same app: one folder per [`CompileRequest::cache`].
    pub caches: PathBuf,
    /// Toolchains and base components, shared by all builds.
    pub toolchains: PathBuf,
    /// The embedded buildpacks, unpacked.
    pub buildpacks: PathBuf,
}

/// Makes slugs from sources. Clones share nothing but folders; builds may run side by side.
#[derive(Clone, Debug)]
pub struct Compiler {
    folders: CompilerFolders,
    packs: Packs,
    dyno_executable: PathBuf,
    slug_cache: Option<PathBuf>,
}

/// A source to compile. Begin with [`CompileRequest::new`].
#[derive(Clone)]
#[non_exhaustive]
pub struct CompileRequest {
    /// The app's source. It is copied, never written to.
    pub source: PathBuf,
    /// Where the slug file goes. It appears whole or not at all.
    pub slug: PathBuf,
    /// The folder's name below [`CompilerFolders::caches`]: one per app.
    pub cache: String,
    /// Buildpacks by name or directory, run in order; empty means "detect".
    pub buildpacks: Vec<String>,
    /// The app's config vars, which `bin/compile` finds as files in its `ENV_DIR`.
    pub config_vars: BTreeMap<String, String>,
    /// The commit that is built, for `SOURCE_VERSION`.
    pub source_version: Option<String>,
    /// How long one `bin/compile` may take; [`limits::COMPILE_TIMEOUT`] unless set.
    pub timeout: Duration,
}

/// What happens during a build, as it happens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BuildEvent<'a> {
    /// A line for the build's output.
    Line(&'a str),
    /// A step begins.
    StepStarted(Step),
    /// A step has ended well.
    StepEnded(Step, Duration),
}

/// A step of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The source is read and copied.
    Copy,
    /// The buildpack is chosen.
    Detect,
    /// The buildpack compiles.
    Compile,
    /// The slug is put together.
    Slug,
}

/// A slug that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Compiled {
    /// The slug's file: [`CompileRequest::slug`].
    pub slug: PathBuf,
    /// Its digest.
    pub digest: SlugDigest,
    /// What it holds.
    pub manifest: SlugManifest,
    /// What the last buildpack calls itself, such as "Python".
    pub buildpack: String,
    /// Whether nothing was compiled, because the same build was made before.
    pub is_cached: bool,
}

impl Step {
    /// What people see while it runs.
    pub fn words(self) -> &'static str {
        match self {
            Step::Copy => "copying the source",
            Step::Detect => "choosing a buildpack",
            Step::Compile => "compiling",
            Step::Slug => "making the slug",
        }
    }
}

impl CompileRequest {
    /// A build of `source` into the file `slug`, with everything else left to its default.
    pub fn new(source: impl Into<PathBuf>, slug: impl Into<PathBuf>) -> CompileRequest {
        CompileRequest {
            source: source.into(),
            slug: slug.into(),
            cache: "default".to_owned(),
            buildpacks: Vec::new(),
            config_vars: BTreeMap::new(),
            source_version: None,
            timeout: limits::COMPILE_TIMEOUT,
        }
    }
}

impl std::fmt::Debug for CompileRequest {
    /// Without the config vars: they are secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CompileRequest")
            .field("source", &self.source)
            .field("slug", &self.slug)
            .field("cache", &self.cache)
            .field("buildpacks", &self.buildpacks)
            .finish_non_exhaustive()
    }
}

impl Compiler {
    /// Unpacks the embedded buildpacks, once per version of this library. Blocks.
    pub fn new(folders: CompilerFolders) -> Result<Compiler, UnpackError> {
        let packs = Packs::unpack(&folders.buildpacks)?;
        let dyno_executable = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("dyno"));
        Ok(Compiler {
            folders,
            packs,
            dyno_executable,
            slug_cache: None,
        })
    }

    /// Sets the program that buildpacks find as `$DYNO`; this very program unless set.
    #[must_use]
    pub fn dyno_executable(mut self, path: impl Into<PathBuf>) -> Compiler {
        self.dyno_executable = path.into();
        self
    }

    /// Keeps the slugs of the last builds in `directory`, so that an equal build is not made twice.
    #[must_use]
    pub fn slug_cache(mut self, directory: impl Into<PathBuf>) -> Compiler {
        self.slug_cache = Some(directory.into());
        self
    }

    /// The embedded buildpacks.
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// The buildpack that takes the app in `source`. Blocks.
    pub fn detect(
        &self,
        source: &Path,
        cancellation: &Cancellation,
    ) -> Result<Detected, CompileError> {
        if !source.is_dir() {
            return Err(crate::source::SourceError::NotADirectory(source.to_owned()).into());
        }
        let work = self.work_folder()?;
        self.detect_in(source, work.path(), cancellation)
    }

    /// Compiles a source into a slug file. Blocks until it is there.
    ///
    /// `events` gets every line of output in order, from this thread. After an error nothing is
    /// left of the build but the app's cache folder, and a slug that was at the target before is
    /// still there.
    pub fn compile(
        &self,
        request: &CompileRequest,
        cancellation: &Cancellation,
        events: &mut dyn FnMut(BuildEvent<'_>),
    ) -> Result<Compiled, CompileError> {
        let mut build = Build {
            compiler: self,
            request,
            cancellation,
            events,
        };
        build.run()
    }

    fn work_folder(&self) -> Result<tempfile::TempDir, CompileError> {
        fs::create_dir_all(&self.folders.work)
            .and_then(|()| {
                tempfile::Builder::new()
                    .prefix("compile-")
                    .tempdir_in(&self.folders.work)
            })
            .map_err(error::failed("creating a folder in", &self.folders.work))
    }
}

/// One build under way.
struct Build<'a> {
    compiler: &'a Compiler,
    request: &'a CompileRequest,
    cancellation: &'a Cancellation,
    events: &'a mut dyn FnMut(BuildEvent<'_>),
}

/// The folders of one build.
struct BuildFolders {
    app: PathBuf,
    config_vars: PathBuf,
    home: PathBuf,
    temporary: PathBuf,
    cache: PathBuf,
    toolchains: PathBuf,
}

impl Build<'_> {
    fn run(&mut self) -> Result<Compiled, CompileError> {
        let started = self.begin(Step::Copy);
        let excluded = self.excluded();
        let source = SourceTree::scan(&self.request.source, &excluded)?;
        let key = match &self.compiler.slug_cache {
            Some(_) => Some(self.compiler.key(self.request, &source)?),
            None => None,
        };
        if let Some(found) = self.kept(key.as_deref())? {
            return Ok(found);
        }
        let work = self.compiler.work_folder()?;
        let folders = self.folders(work.path())?;
        source.copy_to(&folders.app)?;
        for left_out in source.left_out() {
            let path = left_out.path.display();
            self.line(&format!(" !     {path} is left out: {}", left_out.reason));
        }
        self.end(Step::Copy, started);

        let started = self.begin(Step::Detect);
        let chosen = self.choose(&folders, work.path())?;
        self.end(Step::Detect, started);

        let started = self.begin(Step::Compile);
        let mut metadata = ReleaseMetadata::default();
        for buildpack in &chosen {
            self.compile(buildpack, &folders)?;
            metadata = self.release_metadata(&buildpack.buildpack, &folders)?;
        }
        self.end(Step::Compile, started);

        let started = self.begin(Step::Slug);
        let compiled = self.slug(&chosen, &folders, metadata)?;
        self.end(Step::Slug, started);
        if let (Some(directory), Some(key)) = (&self.compiler.slug_cache, &key) {
            cache::keep(directory, key, &compiled);
        }
        Ok(compiled)
    }

    fn begin(&mut self, step: Step) -> Instant {
        (self.events)(BuildEvent::StepStarted(step));
        Instant::now()
    }

    fn end(&mut self, step: Step, started: Instant) {
        (self.events)(BuildEvent::StepEnded(step, started.elapsed()));
    }

    fn line(&mut self, line: &str) {
        (self.events)(BuildEvent::Line(line));
    }

    /// The slug that is about to be written may lie in the source; an earlier one is no part of it.
    fn excluded(&self) -> Vec<PathBuf> {
        let absolute = std::path::absolute(&self.request.source);
        let slug = std::path::absolute(&self.request.slug);
        match (absolute, slug) {
            (Ok(source), Ok(slug)) => slug
                .strip_prefix(&source)
                .map(|path| vec![path.to_owned()])
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn kept(&mut self, key: Option<&str>) -> Result<Option<Compiled>, CompileError> {
        let (Some(directory), Some(key)) = (&self.compiler.slug_cache, key) else {
            return Ok(None);
        };
        let Some(compiled) = cache::find(directory, key, &self.request.slug)? else {
            return Ok(None);
        };
        self.line("-----> Source has not changed since the last build");
        self.line(&format!("       Using its slug ({})", compiled.digest));
        Ok(Some(compiled))
    }

    fn folders(&self, work: &Path) -> Result<BuildFolders, CompileError> {
        if !is_folder_name(&self.request.cache) {
            return Err(CompileError::CacheName(self.request.cache.clone()));
        }
        let folders = BuildFolders {
            app: work.join("app"),
            config_vars: work.join("config-vars"),
            home: work.join("home"),
            temporary: work.join("tmp"),
            cache: self.compiler.folders.caches.join(&self.request.cache),
            toolchains: self.compiler.folders.toolchains.clone(),
        };
        let made = [
            &folders.config_vars,
            &folders.home,
            &folders.temporary,
            &folders.cache,
            &folders.toolchains,
        ];
        for folder in made {
            fs::create_dir_all(folder).map_err(error::failed("creating", folder))?;
        }
        for (name, value) in &self.request.config_vars {
            // A name that is no file name would be written somewhere else.
            if !is_folder_name(name) {
                continue;
            }
            let path = folders.config_vars.join(name);
            fs::File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| file.write_all(value.as_bytes()))
                .map_err(error::failed("writing", &path))?;
        }
        Ok(folders)
    }

    fn choose(
        &mut self,
        folders: &BuildFolders,
        work: &Path,
    ) -> Result<Vec<Detected>, CompileError> {
        if self.request.buildpacks.is_empty() {
            let app = &folders.app;
            let detected = self.compiler.detect_in(app, work, self.cancellation)?;
            return Ok(vec![detected]);
        }
        self.compiler
            .named(&self.request.buildpacks)?
            .into_iter()
            .map(|buildpack| {
                self.compiler
                    .ask(&buildpack, &folders.app, work, self.cancellation)?
                    .ok_or_else(|| CompileError::Refused {
                        buildpack: buildpack.name().to_owned(),
                    })
            })
            .collect()
    }

    fn compile(&mut self, chosen: &Detected, folders: &BuildFolders) -> Result<(), CompileError> {
        let buildpack = &chosen.buildpack;
        let program = buildpack.directory().join("bin/compile");
        let mut variables = self
            .compiler
            .environment(buildpack, &folders.home, &folders.temporary);
        if let Some(version) = &self.request.source_version {
            variables.insert("SOURCE_VERSION".into(), version.into());
        }
        let script = Script {
            program: &program,
            arguments: &[
                folders.app.as_os_str(),
                folders.cache.as_os_str(),
                folders.config_vars.as_os_str(),
            ],
            environment: &variables,
            directory: &folders.app,
            exports: &[],
            timeout: self.request.timeout,
            errors: Errors::Merged,
        };
        let events = &mut *self.events;
        let outcome = script::run(&script, self.cancellation, &mut |line| {
            events(BuildEvent::Line(line));
        })
        .map_err(error::failed("running", &program))?;
        match outcome {
            Outcome::Exited(status) if status.success() => Ok(()),
            Outcome::Exited(status) => Err(CompileError::Failed {
                buildpack: chosen.display_name.clone(),
                status,
            }),
            Outcome::TimedOut => Err(CompileError::TimedOut {
                buildpack: chosen.display_name.clone(),
                script: "bin/compile",
                limit: self.request.timeout,
            }),
            Outcome::Cancelled => Err(CompileError::Cancelled),
        }
    }

    /// What `bin/release` answers; a buildpack without one has nothing to say.
    fn release_metadata(
        &mut self,
        buildpack: &Buildpack,
        folders: &BuildFolders,
    ) -> Result<ReleaseMetadata, CompileError> {
        let program = buildpack.directory().join("bin/release");
        if !program.exists() {
            return Ok(ReleaseMetadata::default());
        }
        let variables = self
            .compiler
            .environment(buildpack, &folders.home, &folders.temporary);
        let script = Script {
            program: &program,
            arguments: &[folders.app.as_os_str()],
            environment: &variables,
            directory: &folders.app,
            exports: &[],
            timeout: limits::RELEASE_TIMEOUT,
            errors: Errors::Discarded,
        };
        let answer = answer(&script, buildpack, "bin/release", self.cancellation)?;
        match answer {
            Answer::Text(yaml) => {
                ReleaseMetadata::parse(&yaml).map_err(|source| CompileError::ReleaseMetadata {
                    buildpack: buildpack.name().to_owned(),
                    source,
                })
            }
            Answer::No(status) => Err(CompileError::Failed {
                buildpack: buildpack.name().to_owned(),
                status,
            }),
        }
    }

    fn slug(
        &mut self,
        chosen: &[Detected],
        folders: &BuildFolders,
        metadata: ReleaseMetadata,
    ) -> Result<Compiled, CompileError> {
        let procfile = Procfile::read(&folders.app)?;
        let parts = assemble::Parts {
            app: &folders.app,
            shared: &[&folders.toolchains, &folders.cache],
            packed_layers: &folders.toolchains.join("packed-layers"),
            procfile: &procfile,
            metadata: &metadata,
            buildpacks: chosen,
        };
        let assembled = assemble::assemble(&parts)?;
        let mut lines = Vec::new();
        assembled.tell(&procfile, &mut lines);
        lines.push("-----> Compressing...".to_owned());
        for line in lines {
            self.line(&line);
        }
        if self.cancellation.is_cancelled() {
            return Err(CompileError::Cancelled);
        }
        assembled.builder.write(&self.request.slug)?;
        let file = dyno_slug::SlugFile::open(&self.request.slug)?;
        let size = fs::metadata(&self.request.slug).map_or(0, |metadata| metadata.len());
        self.line(&format!("       Done: {}", megabytes(size)));
        Ok(Compiled {
            slug: self.request.slug.clone(),
            digest: *file.digest(),
            manifest: file.manifest().clone(),
            buildpack: chosen
                .last()
                .map_or_else(String::new, |detected| detected.display_name.clone()),
            is_cached: false,
        })
    }
}

impl Compiler {
    fn environment(
        &self,
        buildpack: &Buildpack,
        home: &Path,
        temporary: &Path,
    ) -> BTreeMap<std::ffi::OsString, std::ffi::OsString> {
        let wit_directory = self.packs.wit_directory();
        let places = Places {
            dyno_executable: &self.dyno_executable,
            toolchain_directory: &self.folders.toolchains,
            buildpack_directory: buildpack.directory(),
            wit_directory: &wit_directory,
            home,
            temporary,
        };
        environment(&places, std::env::vars_os())
    }
}

/// How a short script answered.
enum Answer {
    Text(String),
    No(std::process::ExitStatus),
}

/// Runs a script whose output is an answer.
fn answer(
    script: &Script<'_>,
    buildpack: &Buildpack,
    name: &'static str,
    cancellation: &Cancellation,
) -> Result<Answer, CompileError> {
    let mut text = String::new();
    let outcome = script::run(script, cancellation, &mut |line| {
        if text.len() + line.len() < limits::ANSWER_BYTES_MAX {
            text.push_str(line);
            text.push('\n');
        }
    })
    .map_err(error::failed("running", script.program))?;
    match outcome {
        Outcome::Exited(status) if status.success() => Ok(Answer::Text(text)),
        Outcome::Exited(status) => Ok(Answer::No(status)),
        Outcome::TimedOut => Err(CompileError::TimedOut {
            buildpack: buildpack.name().to_owned(),
            script: name,
            limit: script.timeout,
        }),
        Outcome::Cancelled => Err(CompileError::Cancelled),
    }
}

/// Whether `name` is one plain path component.
fn is_folder_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\0'])
        && OsStr::new(name).len() <= 255
}

/// `1.2M`, as Heroku prints it.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    if tenths == 0 {
        return format!("{}K", bytes.div_ceil(1024));
    }
    format!("{}.{}M", tenths / 10, tenths % 10)
}
