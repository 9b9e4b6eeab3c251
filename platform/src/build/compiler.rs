//! The slug compiler as builds use it: one folder of work per build, caches per app, output line by line.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::OutputWriter;
use crate::model::{AppId, ConfigVars};

/// Runs the slug compiler.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    folders: CompilerFolders,
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

/// Why no slug was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("the slug compiler is not part of this program yet")]
    Absent,
}

impl Compiler {
    pub fn new(folders: CompilerFolders) -> Self {
        Self { folders }
    }

    /// The buildpacks an app may choose.
    pub fn buildpack_names(&self) -> Vec<String> {
        ["go", "nodejs", "python", "rust", "static", "wasm"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Changes whenever our buildpacks do.
    pub fn packs_digest(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    /// A new folder for one build, removed when it is dropped.
    pub fn work_folder(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("build-")
            .tempdir_in(&self.folders.work)
    }

    /// Forgets what earlier builds of an app left for the next.
    pub async fn delete_cache(&self, app: AppId) -> io::Result<()> {
        match tokio::fs::remove_dir_all(self.folders.caches.join(app.to_string())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Compiles a source into a slug file.
    pub async fn compile(
        &self,
        _request: CompileRequest,
        _output: Arc<OutputWriter>,
        _cancel: CancellationToken,
    ) -> Result<Compiled, CompileError> {
        Err(CompileError::Absent)
    }
}
