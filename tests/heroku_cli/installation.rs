//! The Heroku CLI under test: a pinned package from npm, installed once.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use crate::binary;

/// The version that COMPAT.md speaks of.
const VERSION: &str = "11.10.0";

/// The `heroku` program.
pub fn heroku() -> PathBuf {
    let toolchains = binary::toolchains();
    let folder = toolchains.join(format!("heroku-cli-{VERSION}"));
    let program = folder.join("node_modules/.bin/heroku");
    // Other tests, of this process and of others, may come to install it as well.
    let lock = File::create(toolchains.join("heroku-cli.lock")).unwrap();
    lock.lock().unwrap();
    if !program.exists() {
        install(&folder);
    }
    program
}

fn install(folder: &PathBuf) {
    let new = folder.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).unwrap();
    let installed = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .arg("--prefix")
        .arg(&new)
        .arg(format!("heroku@{VERSION}"))
        .output()
        .unwrap_or_else(|error| panic!("npm is needed for the Heroku CLI: {error}"));
    assert!(
        installed.status.success(),
        "npm could not install the Heroku CLI:\n{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    // Whole or not at all.
    fs::rename(&new, folder).unwrap();
}
