//! `cargo xtask test`: the binary, then every test against it.
//!
//! Everything is built once, with a profile of its own: the release profile optimises each of two dozen programs at the
//! link, and with a debug build of a guest's compiler the tests of whole apps would take hours.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::{command, places, setup};

/// Of `Cargo.toml`; also the folder of what it builds.
const PROFILE: &str = "tests";

#[derive(Args, Debug)]
pub struct Arguments {
    /// Also what takes long: tests that are marked as ignored
    #[arg(long)]
    all: bool,
    /// Only tests whose names contain this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only the tests of this crate
    #[arg(short, long, value_name = "CRATE")]
    package: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::run()?;
    // The same selection as the tests': another one would have other features, and compile wasmtime twice.
    let everything = ["--workspace", "--bins", "--tests", "--examples"];
    command::run(
        command::cargo()
            .args(["build", "--profile", PROFILE, "--locked"])
            .args(everything),
    )?;
    let toolchains = places::toolchains();
    std::fs::create_dir_all(&toolchains)
        .with_context(|| format!("{} cannot be made", toolchains.display()))?;
    let mut tests = command::cargo();
    tests.args(["test", "--profile", PROFILE, "--locked"]);
    match &arguments.package {
        Some(package) => tests.args(["--package", package]),
        None => tests.arg("--workspace"),
    };
    if arguments.only.is_none() {
        // One failure is no reason to keep quiet about the others.
        tests.arg("--no-fail-fast");
    }
    tests.arg("--").args(&arguments.only);
    if arguments.all {
        tests.arg("--include-ignored");
    }
    tests
        .env("DYNO_BIN", binary())
        .env("DYNO_TEST_TOOLCHAINS", &toolchains);
    command::run(&mut tests)?;
    if arguments.only.is_none() && arguments.package.is_none() {
        python()?;
    }
    Ok(())
}

/// The binary the tests run.
pub fn binary() -> PathBuf {
    places::target().join(PROFILE).join("dyno")
}

/// The Python buildpack's own tests: it is written in Python.
fn python() -> anyhow::Result<()> {
    let mut tests = Command::new("python3");
    tests
        .args(["-m", "unittest", "discover", "--quiet", "--start-directory"])
        .arg(places::workspace().join("buildpacks/packs/python/tests"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command::run(&mut tests)
}
