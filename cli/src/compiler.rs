//! The slug compiler for verbs that need no platform.

use dyno_buildpacks::{Compiler, CompilerFolders};
use dyno_platform::Settings;

use crate::places::{self, DataDir};

/// A compiler that shares its toolchains with the platform of the data directory, and nothing else.
pub fn open(data_dir: &DataDir) -> anyhow::Result<Compiler> {
    let settings = Settings::read_if_present(&data_dir.path()?.join("dyno.toml"))?;
    let toolchains = match settings.build.toolchain_dir {
        Some(directory) => directory,
        None => data_dir.path()?.join("toolchains"),
    };
    let cache = places::cache()?;
    Ok(Compiler::new(CompilerFolders {
        work: cache.join("build-work"),
        caches: cache.join("build-caches"),
        toolchains,
        buildpacks: cache.join("buildpacks"),
    })?)
}
