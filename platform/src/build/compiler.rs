//! The slug compiler as builds use it: one folder of work per build, caches per app, output line by line.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dyno_buildpacks::{BuildEvent, Cancellation, CompileError, UnpackError};
use tokio_util::sync::CancellationToken;

use super::OutputWriter;
use super::run::RunError;
use crate::limits::BUILD_TIMEOUT;
use crate::model::{AppId, ConfigVars};

/// Runs the slug compiler.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    inner: dyno_buildpacks::Compiler,
    /// One folder per running build, below this one.
    work: PathBuf,
    /// One folder per app, below this one.
    caches: PathBuf,
    buildpack_names: Vec<String>,
}

/// Where the compiler works.
#[derive(Clone, Debug)]
pub(crate) struct CompilerFolders {
    /// One folder per running build, below this one.
    pub work: PathBuf,
    /// One folder per app, below this one.
    pub caches: PathBuf,
    /// Toolchains, shared by all builds.
    pub toolchains: PathBuf,
    /// Our own buildpacks, unpacked.
    pub buildpacks: PathBuf,
}

/// A source to compile.
pub(crate) struct CompileRequest {
    pub source: PathBuf,
    /// Where the slug file is to be written.
    pub slug: PathBuf,
    pub app: AppId,
    /// In order; empty means "detect".
    pub buildpacks: Vec<String>,
    pub config_vars: ConfigVars,
    pub source_version: Option<String>,
}

/// What came of it.
pub(crate) struct Compiled {
    pub slug: PathBuf,
    /// What the buildpack calls itself.
    pub buildpack: Option<String>,
    pub default_config_vars: BTreeMap<String, String>,
}

/// Kills the build's processes when nobody waits for it any more.
struct EndWithUs(Cancellation);

impl Drop for EndWithUs {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Compiler {
    /// Unpacks the buildpacks, once per version of them.
    ///
    /// `dyno_executable` — the program that buildpacks find as `$DYNO`; this very program unless given.
    pub fn new(
        folders: CompilerFolders,
        dyno_executable: Option<PathBuf>,
    ) -> Result<Self, UnpackError> {
        let (work, caches) = (folders.work.clone(), folders.caches.clone());
        let mut compiler = dyno_buildpacks::Compiler::new(dyno_buildpacks::CompilerFolders {
            work: folders.work,
            caches: folders.caches,
            toolchains: folders.toolchains,
            buildpacks: folders.buildpacks,
        })?;
        if let Some(path) = dyno_executable {
            compiler = compiler.dyno_executable(path);
        }
        let packs = compiler.packs().all().into_iter();
        let mut buildpack_names: Vec<String> = packs.map(|pack| pack.name().to_owned()).collect();
        buildpack_names.sort();
        Ok(Self {
            inner: compiler,
            work,
            caches,
            buildpack_names,
        })
    }

    /// The buildpacks an app may choose.
    pub fn buildpack_names(&self) -> &[String] {
        &self.buildpack_names
    }

    /// Changes whenever our buildpacks do.
    pub fn packs_digest(&self) -> &str {
        self.inner.packs().digest()
    }

    /// A new folder for one build, removed when it is dropped.
    pub fn work_folder(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("build-")
            .tempdir_in(&self.work)
    }

    /// Removes what builds of a process that was killed have left.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.work)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Forgets what earlier builds of an app left for the next.
    pub async fn delete_cache(&self, app: AppId) -> io::Result<()> {
        match tokio::fs::remove_dir_all(self.caches.join(app.to_string())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Compiles a source into a slug file.
    ///
    /// # Cancel safety
    /// Dropping the future ends the build's processes; its thread follows.
    pub async fn compile(
        &self,
        request: CompileRequest,
        output: Arc<OutputWriter>,
        cancel: CancellationToken,
    ) -> Result<Compiled, RunError> {
        let cancellation = Cancellation::new();
        let _end = EndWithUs(cancellation.clone());
        let compiler = self.inner.clone();
        let signal = cancellation.clone();
        let mut compiling = tokio::task::spawn_blocking(move || {
            compiler.compile(&wanted(request), &cancellation, &mut |event| {
                if let BuildEvent::Line(line) = event {
                    output.line(line);
                }
            })
        });
        let result = tokio::select! {
            result = &mut compiling => result,
            () = cancel.cancelled() => {
                signal.cancel();
                // Waited for, so that its folder is not removed under it.
                compiling.await
            }
        };
        let compiled = match result? {
            Err(CompileError::Cancelled) => return Err(RunError::Cancelled),
            result => result?,
        };
        Ok(Compiled {
            slug: compiled.slug,
            buildpack: Some(compiled.buildpack).filter(|name| !name.is_empty()),
            default_config_vars: compiled.manifest.default_config_vars,
        })
    }
}

fn wanted(request: CompileRequest) -> dyno_buildpacks::CompileRequest {
    let mut wanted = dyno_buildpacks::CompileRequest::new(request.source, request.slug);
    wanted.cache = request.app.to_string();
    wanted.buildpacks = request.buildpacks;
    wanted.config_vars = request.config_vars.into_map();
    wanted.source_version = request.source_version;
    wanted.timeout = BUILD_TIMEOUT;
    wanted
}
