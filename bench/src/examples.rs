//! The project's example apps: as slugs made by the dyno that is measured, and as changed copies of their source.

use anyhow::{Context, bail};
use serde_json::Value;
use std::borrow::Cow;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::limits::LOG_LINES_SHOWN;
use crate::load::Page;
use crate::scenario::Setting;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// Buildpacks have no setting for it: run last, this one changes what the others have left.
const PACK_DETECT: &str = "#!/bin/sh\necho 'An instance for each request'\n";
const PACK_COMPILE: &str = "#!/bin/sh\nset -e\nsed -i 's/^reuse = .*/reuse = \"request\"/' \"$1/.dyno/process-types.toml\"\n";

/// One of the examples.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// Its name in tables.
    pub title: &'static str,
    /// Its folder.
    pub folder: &'static str,
    /// The buildpack that takes it.
    pub buildpack: &'static str,
    /// The file in which its greeting is, and the greeting as it is written there.
    pub greeting: (&'static str, &'static str),
}

pub const FLASK: Example = Example {
    title: "Python (Flask)",
    folder: "python-flask",
    buildpack: "python",
    greeting: ("app.py", "'World'"),
};
pub const HONO: Example = Example {
    title: "JavaScript (Hono)",
    folder: "node-hono",
    buildpack: "nodejs",
    greeting: ("src/app.js", "\"World\""),
};
pub const EXPRESS: Example = Example {
    title: "JavaScript (Express)",
    folder: "node-express",
    buildpack: "nodejs",
    greeting: ("server.js", "\"World\""),
};

/// What each example answers to whoever says no name.
pub const GREETING_PAGE: Page = Page {
    path: Cow::Borrowed("/hello"),
    body: b"Hello, World!",
};
/// The same of a copy whose greeting was changed.
pub const CHANGED_PAGE: Page = Page {
    path: Cow::Borrowed("/hello"),
    body: b"Hello, Again!",
};

/// Whether an instance answers one request or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// As the buildpack has it.
    Instance,
    /// A fresh one for each.
    Request,
}

/// A slug file.
#[derive(Clone, Debug)]
pub struct Slug {
    /// Where it is.
    pub path: PathBuf,
    /// What `dyno inspect` says of it.
    pub description: Value,
}

impl Example {
    /// Its source.
    pub fn source(&self) -> PathBuf {
        Path::new(EXAMPLES).join(self.folder)
    }

    /// Makes a slug of it.
    pub fn slug(&self, setting: &Setting, reuse: Reuse) -> anyhow::Result<Slug> {
        let mut buildpacks = Vec::new();
        let mut name = self.folder.to_owned();
        if reuse == Reuse::Request {
            let pack = reuse_pack(&setting.work_dir)?;
            buildpacks.extend([self.buildpack.to_owned(), pack.display().to_string()]);
            name += "-fresh";
        }
        slug(setting, &self.source(), &name, &buildpacks)
    }

    /// Copies its source to `folder`, with another greeting.
    pub fn copy_changed(&self, folder: &Path) -> anyhow::Result<()> {
        copy(&self.source(), folder)?;
        let (file, greeting) = self.greeting;
        let file = folder.join(file);
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        if !text.contains(greeting) {
            bail!("{} does not greet with {greeting}", file.display());
        }
        let changed = greeting.replace("World", "Again");
        Ok(fs::write(&file, text.replacen(greeting, &changed, 1))?)
    }
}

/// Makes a slug of a source folder with `dyno build`; `buildpacks` in place of the one that takes it.
pub fn slug(
    setting: &Setting,
    source: &Path,
    name: &str,
    buildpacks: &[String],
) -> anyhow::Result<Slug> {
    eprintln!("building {name}");
    let data_dir = setting.work_dir.join("builds");
    fs::create_dir_all(&data_dir)?;
    fs::write(data_dir.join("dyno.toml"), setting.toolchain_settings())?;
    let path = setting.work_dir.join(format!("{name}.slug"));
    let log_path = setting.work_dir.join(format!("{name}.build.log"));
    let log =
        File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
    let mut command = Command::new(&setting.programs.dyno);
    command.arg("build").arg(source).arg("--output").arg(&path);
    command.arg("--data-dir").arg(&data_dir);
    for pack in buildpacks {
        command.args(["--buildpack", pack]);
    }
    // Not among what the user's own builds have left.
    let status = command
        .env("XDG_CACHE_HOME", setting.work_dir.join("cache"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("cannot run dyno build")?;
    if !status.success() {
        bail!(
            "{name} was not built ({status})\n{}",
            last_lines(&fs::read_to_string(&log_path).unwrap_or_default())
        );
    }
    let output = Command::new(&setting.programs.dyno)
        .args(["inspect", "--json"])
        .arg(&path)
        .output()
        .context("cannot run dyno inspect")?;
    let description = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("what dyno inspect says of {name}"))?;
    Ok(Slug { path, description })
}

/// The end of a log, for an error.
pub fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
    let shown: Vec<_> = lines.into_iter().rev().collect();
    shown.join("\n")
}

/// Copies a folder of files and folders. What lies at `to` is replaced.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    copy_into(from, to).with_context(|| format!("cannot copy {}", from.display()))
}

fn copy_into(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_into(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn reuse_pack(work_dir: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let pack = work_dir.join("pack-request");
    let scripts = pack.join("bin");
    fs::create_dir_all(&scripts)?;
    for (name, text) in [("detect", PACK_DETECT), ("compile", PACK_COMPILE)] {
        let script = scripts.join(name);
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(pack)
}
