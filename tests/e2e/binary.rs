//! Where the `dyno` binary under test is.

use std::env;
use std::path::{Path, PathBuf};

/// The binary: `DYNO_BIN`, or the one of the profile these tests were compiled with.
pub fn dyno() -> PathBuf {
    let path =
        env::var_os("DYNO_BIN").map_or_else(|| profile_directory().join("dyno"), PathBuf::from);
    assert!(
        path.is_file(),
        "there is no dyno binary at {}: run these tests with `cargo xtask test`, or name a binary in DYNO_BIN",
        path.display()
    );
    path
}

/// Toolchains shared by all tests, and by the next run: they cost minutes.
pub fn toolchains() -> PathBuf {
    let path = env::var_os("DYNO_TEST_TOOLCHAINS")
        .map_or_else(|| profile_directory().join("e2e-toolchains"), PathBuf::from);
    std::fs::create_dir_all(&path).unwrap();
    path.canonicalize().unwrap()
}

/// The workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `target/<profile>`: test binaries lie in its `deps`.
fn profile_directory() -> PathBuf {
    let executable = env::current_exe().unwrap();
    executable
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .to_owned()
}
