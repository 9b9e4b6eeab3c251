//! Builds: a source archive in, a slug and a release out, one at a time per app.

mod cache;
mod compiler;
mod error;
mod import;
mod outputs;
mod queue;
mod run;
mod source_tree;
mod sources;
mod unpack;

pub(crate) use cache::BuildCache;
pub(crate) use compiler::{Compiler, CompilerFolders};
pub(crate) use error::BuildError;
pub(crate) use import::{SlugWords, import};
pub(crate) use outputs::{OutputReader, OutputWriter, Outputs};
pub(crate) use queue::{BuildRequest, Builds, KnownSource};
pub(crate) use run::{RunError, deploy_words};
pub(crate) use sources::{SourceId, Sources};
