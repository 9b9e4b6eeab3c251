//! `cargo xtask tidy`: rules of the house that no compiler checks.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::places;

/// A file over this is two files.
const LINES_MAX: usize = 700;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "common", "misc", "types", "mod"];

pub fn run() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for path in files()? {
        if Path::new(&path)
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            check(&path, &mut problems)?;
        }
    }
    if !problems.is_empty() {
        bail!("the house is not tidy:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

/// Every file that is, or will be, in the repository.
fn files() -> anyhow::Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(places::workspace())
        .output()
        .context("git could not be started")?;
    let text = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn check(path: &str, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let full = places::workspace().join(path);
    // Listed by git, deleted in the working tree.
    if !full.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(&full).with_context(|| format!("{path} cannot be read"))?;
    if !text.starts_with("//! ") {
        problems.push(format!(
            "{path}: the first line says what the file is for: `//! …`"
        ));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        problems.push(format!(
            "{path}: {lines} lines; over {LINES_MAX} it is two files"
        ));
    }
    let name = Path::new(path)
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if EMPTY_NAMES.contains(&name) {
        problems.push(format!("{path}: a module is named for what it is"));
    }
    Ok(())
}
