//! The slug compiler for verbs that need no platform.

use dyno_buildpacks::{Compiler, CompilerFolders};

use crate::places::{self, DataDir};

/// A compiler that shares its toolchains with the platform of the data directory, and nothing else.
pub fn open(data_dir: &DataDir) -> anyhow::Result<Compiler> {
    let cache = places::cache()?;
    let toolchains = match std::env::var_os("DYNO_TOOLCHAIN_DIR") {
        Some(directory) if !directory.is_empty() => directory.into(),
        _ => data_dir.toolchains()?,
    };
    Ok(Compiler::new(CompilerFolders {
        work: cache.join("build-work"),
        caches: cache.join("build-caches"),
        toolchains,
        buildpacks: cache.join("buildpacks"),
    })?)
}
