//! Tests, measurements, and the gate before a change lands.

use anyhow::{Context, bail};
use clap::Args;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup;

/// Which tests.
#[derive(Args, Debug, Default)]
pub struct Test {
    /// Also those that take minutes each; without it they are listed as ignored.
    #[arg(long)]
    all: bool,
    /// Only this package's tests (`dyno-router`).
    #[arg(long, value_name = "PACKAGE")]
    only: Option<String>,
    /// Only tests whose name contains this.
    #[arg(value_name = "NAME")]
    filter: Option<String>,
}

impl Test {
    /// Builds the binary first: the end-to-end tests start it.
    pub fn run(&self) -> anyhow::Result<()> {
        setup::install_missing()?;
        // The same selection as the tests': another one would have other features, and compile wasmtime twice.
        cargo(["build", "--release", "--locked", "--workspace", "--bins", "--tests", "--examples"])?;
        let mut arguments = vec!["test", "--release", "--locked", "--no-fail-fast"];
        match &self.only {
            Some(package) => arguments.extend(["--package", package.as_str()]),
            None => arguments.push("--workspace"),
        }
        arguments.extend(self.filter.as_deref());
        if self.all {
            arguments.extend(["--", "--include-ignored"]);
        }
        if self.only.is_none() && self.filter.is_none() {
            python_pack_tests()?;
        }
        cargo(arguments)
    }
}

/// The part of the Python buildpack that is written in Python, tested where it runs: on the host's Python.
fn python_pack_tests() -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "unittest", "discover", "--start-directory", "tests"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(workspace().join("buildpacks/packs/python"));
    run(command)
}

/// Runs the harness, which starts the release binary and its peers itself.
pub fn bench(arguments: &[String]) -> anyhow::Result<()> {
    setup::install_missing()?;
    cargo([
        "build",
        "--profile",
        "bench",
        "--locked",
        "--package",
        "dyno",
        "--package",
        "dyno-bench",
    ])?;
    let fixed = [
        "run",
        "--profile",
        "bench",
        "--locked",
        "--package",
        "dyno-bench",
        "--",
    ];
    cargo(
        fixed
            .into_iter()
            .chain(arguments.iter().map(String::as_str)),
    )
}

/// Format, lints, tests.
pub fn ci() -> anyhow::Result<()> {
    cargo(["fmt", "--check"])?;
    cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])?;
    Test::default().run()
}

fn cargo<I>(arguments: I) -> anyhow::Result<()>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    run(command)
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}");
    let status = command
        .status()
        .with_context(|| format!("{shown} could not be started"))?;
    if !status.success() {
        bail!("{shown} failed");
    }
    Ok(())
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}
