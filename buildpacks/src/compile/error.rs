//! Why no slug was made, in words for the app's author.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::limits;
use crate::packs::DETECTION_ORDER;
use crate::procfile::ProcfileError;
use crate::source::SourceError;

/// A source that did not become a slug.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// No buildpack takes the app.
    #[error(
        "no buildpack recognises this app\n  looked at: {files} files\n  hint: {}",
        no_buildpack_hint()
    )]
    NoBuildpack {
        /// How many files the app has.
        files: usize,
    },
    /// The chosen buildpack does not take the app.
    #[error(
        "the buildpack {buildpack} does not take this app\n  hint: choose another one, or none to detect it"
    )]
    Refused {
        /// Its name.
        buildpack: String,
    },
    /// There is no such buildpack.
    #[error(
        "there is no buildpack \"{name}\"\n  hint: choose from {}, or give a buildpack's directory with its absolute path",
        DETECTION_ORDER.join(", ")
    )]
    UnknownBuildpack {
        /// The name that was given.
        name: String,
    },
    /// A directory is not a buildpack.
    #[error(
        "{directory} is no buildpack: it has no bin/detect\n  hint: a buildpack has bin/detect, bin/compile and bin/release"
    )]
    NoBuildpackThere {
        /// The directory.
        directory: PathBuf,
    },
    /// Too many buildpacks.
    #[error(
        "{count} buildpacks were chosen; at most {} are allowed",
        limits::BUILDPACKS_MAX
    )]
    TooManyBuildpacks {
        /// How many there are.
        count: usize,
    },
    /// A buildpack's script ended with an error; what it printed was shown already.
    #[error(
        "the {buildpack} buildpack could not compile this app ({})\n  hint: its output above says why",
        how_it_ended(*status)
    )]
    Failed {
        /// Which buildpack.
        buildpack: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A script took too long and was killed.
    #[error(
        "{script} of the {buildpack} buildpack was stopped after {}\n  hint: its last line of output shows where it was",
        minutes(*limit)
    )]
    TimedOut {
        /// Which buildpack.
        buildpack: String,
        /// Which of its scripts.
        script: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// The build was stopped.
    #[error("the build was stopped")]
    Cancelled,
    /// `bin/release` did not answer in YAML.
    #[error("bin/release of the {buildpack} buildpack gave an answer that is not readable")]
    ReleaseMetadata {
        /// Which buildpack.
        buildpack: String,
        /// Where it stops making sense.
        source: serde_norway::Error,
    },
    /// The Procfile is not usable.
    #[error(transparent)]
    Procfile(#[from] ProcfileError),
    /// The Procfile declares a process type that the buildpack made nothing for.
    #[error(
        "line {line} of the Procfile declares \"{name}\", but the buildpack made no component for it\n  command: {command}\n  it made: {made}\n  hint: correct the command, or remove the line"
    )]
    UnknownProcess {
        /// The process type.
        name: String,
        /// Its command.
        command: String,
        /// Which line, from 1.
        line: usize,
        /// What there is.
        made: String,
    },
    /// The buildpack's list of process types is not usable.
    #[error(transparent)]
    ProcessTypes(#[from] dyno_slug::ProcessTypesError),
    /// A component cannot be read.
    #[error("the component of process type \"{process}\" ({component}) is not usable")]
    Component {
        /// The process type.
        process: String,
        /// Its file's name.
        component: String,
        /// What is wrong with it.
        source: crate::component::InspectError,
    },
    /// A component imports something that dyno does not have.
    #[error(
        "the component of process type \"{process}\" ({component}) imports what dyno does not provide\n  imports: {}\n  hint: dyno provides WASI 0.2 and 0.3 (cli, clocks, filesystem, http, io, random, sockets), wasi:config and wasi:keyvalue",
        imports.join("\n           ")
    )]
    UnmetImports {
        /// The process type.
        process: String,
        /// Its file's name.
        component: String,
        /// The imports, as the component writes them.
        imports: Vec<String>,
    },
    /// A component is not what its process type says.
    #[error(
        "the component of process type \"{process}\" ({component}) is for {actual}, but .dyno/process-types.toml says {expected}\n  hint: {}",
        world_hint(actual)
    )]
    WrongWorld {
        /// The process type.
        process: String,
        /// Its file's name.
        component: String,
        /// What it is.
        actual: String,
        /// What it should be.
        expected: String,
    },
    /// A component should export `boot`, and does not.
    #[error(
        "the component of process type \"{process}\" ({component}) exports no boot, but .dyno/process-types.toml says boot = \"release\""
    )]
    NoBoot {
        /// The process type.
        process: String,
        /// Its file's name.
        component: String,
    },
    /// The settings of a static site are not usable.
    #[error("{file}: {problem}")]
    StaticSettings {
        /// The file.
        file: String,
        /// What is wrong, with a hint.
        problem: String,
    },
    /// The app's source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The slug could not be written.
    #[error(transparent)]
    Slug(#[from] dyno_slug::WriteError),
    /// The slug that was written, or kept, could not be read.
    #[error(transparent)]
    Read(#[from] dyno_slug::ReadError),
    /// The name of a cache folder is no name of a folder.
    #[error("\"{0}\" is not the name of a cache folder")]
    CacheName(String),
    /// The machine failed.
    #[error("{action} {path} did not work")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
}

impl CompileError {
    /// Whether the app's author can do something about it; otherwise the machine or a buildpack is at fault.
    pub fn is_the_apps(&self) -> bool {
        !matches!(
            self,
            CompileError::Cancelled
                | CompileError::ReleaseMetadata { .. }
                | CompileError::Read(_)
                | CompileError::CacheName(_)
                | CompileError::Io { .. }
        )
    }
}

pub(super) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> CompileError + use<> {
    let path = path.to_owned();
    move |source| CompileError::Io {
        action,
        path,
        source,
    }
}

fn no_buildpack_hint() -> &'static str {
    "a Python app has a requirements.txt, a Node.js app a package.json, a Go app a go.mod, a Rust app a Cargo.toml,\n        a site a static.json or an index.html, and a prebuilt component is named in the Procfile (web: app.wasm)"
}

fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

fn minutes(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn world_hint(actual: &str) -> &'static str {
    if actual.starts_with("core-") {
        "make a component of it first: dyno component adapt IN.wasm -o OUT.wasm"
    } else {
        "correct the buildpack's bin/compile"
    }
}
