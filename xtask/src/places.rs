//! Where the workspace is, and where things are kept that cost minutes to make again.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo builds: as it was told, or `target` in the workspace.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(path) if !path.is_empty() => workspace().join(path),
        _ => workspace().join("target"),
    }
}

/// Language toolchains that tests share, also with the next run: `DYNO_TEST_TOOLCHAINS`, or beside the build.
pub fn toolchains() -> PathBuf {
    match env::var_os("DYNO_TEST_TOOLCHAINS") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => target().join("test-toolchains"),
    }
}
