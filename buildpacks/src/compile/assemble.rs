//! Puts a slug together from what a buildpack left, and refuses what would not run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dyno_slug::{
    Boot, FileSource, ProcessSource, ProcessTypeName, ProcessTypesFile, SlugBuilder, SourceRoots,
    World,
};

use super::error::failed;
use super::{CompileError, Detected};
use crate::component;
use crate::limits;
use crate::procfile::Procfile;
use crate::release_metadata::ReleaseMetadata;
use crate::static_json;

/// Where a buildpack leaves its list. It names paths of this machine, so it is no part of the slug.
const PROCESS_TYPES: &str = ".dyno/process-types.toml";

/// What a slug is made from.
pub(super) struct Parts<'a> {
    pub(super) app: &'a Path,
    /// Folders that components and layers may also lie in.
    pub(super) shared: &'a [&'a Path],
    pub(super) packed_layers: &'a Path,
    pub(super) procfile: &'a Procfile,
    pub(super) metadata: &'a ReleaseMetadata,
    pub(super) buildpacks: &'a [Detected],
}

/// A slug ready to be written.
pub(super) struct Assembled {
    pub(super) builder: SlugBuilder,
    process_types: Vec<ProcessTypeName>,
}

pub(super) fn assemble(parts: &Parts<'_>) -> Result<Assembled, CompileError> {
    let file = ProcessTypesFile::read(parts.app)?;
    let resolved = file.resolve(SourceRoots {
        build_dir: parts.app,
        shared: parts.shared,
    })?;
    let mut processes = resolved.processes;
    set_commands(&mut processes, parts)?;
    let mut files = FileSource::new(parts.app).exclude(PROCESS_TYPES);
    for used in resolved.used {
        files = files.exclude(used);
    }
    fs::create_dir_all(parts.packed_layers).map_err(failed("creating", parts.packed_layers))?;
    let mut builder = SlugBuilder::new(files)
        .stack(&file.stack)
        .layer_cache(parts.packed_layers);
    let (last, earlier) = match parts.buildpacks.split_last() {
        Some((_, earlier)) => (&file.buildpack, earlier),
        None => (&file.buildpack, &[][..]),
    };
    for detected in earlier {
        builder = builder.buildpack(detected.buildpack.name(), "unknown");
    }
    builder = builder.buildpack(&last.name, &last.version);
    for (name, value) in &parts.metadata.config_vars {
        builder = builder.default_config_var(name, value);
    }
    for (mount, source) in resolved.layers {
        builder = builder.layer(mount, FileSource::new(source));
    }
    let mut checked = BTreeMap::new();
    let process_types = processes.keys().cloned().collect();
    for (name, mut process) in processes {
        if process.world == World::Static {
            let settings = process.static_site.take();
            process.static_site = Some(static_json::settings(parts.app, settings)?);
        }
        check_component(&name, &process, &mut checked)?;
        builder = builder.process(name, process);
    }
    Ok(Assembled {
        builder,
        process_types,
    })
}

impl Assembled {
    /// Heroku's words about process types.
    pub(super) fn tell(&self, procfile: &Procfile, lines: &mut Vec<String>) {
        lines.push("-----> Discovering process types".to_owned());
        let (declared, defaults): (Vec<_>, Vec<_>) = self
            .process_types
            .iter()
            .map(ProcessTypeName::as_str)
            .partition(|name| procfile.command(name).is_some());
        let or_none = |names: &[&str]| match names {
            [] => "(none)".to_owned(),
            names => names.join(", "),
        };
        lines.push(format!(
            "       Procfile declares types     -> {}",
            or_none(&declared)
        ));
        if !defaults.is_empty() {
            lines.push(format!(
                "       Default types for buildpack -> {}",
                defaults.join(", ")
            ));
        }
        for line in &procfile.unreadable_lines {
            lines.push(format!(
                " !     Line {line} of the Procfile declares nothing: it is not \"TYPE: COMMAND\""
            ));
        }
    }
}

/// The Procfile's line, else the buildpack's default, else what will be run.
fn set_commands(
    processes: &mut BTreeMap<ProcessTypeName, ProcessSource>,
    parts: &Parts<'_>,
) -> Result<(), CompileError> {
    for declared in &parts.procfile.processes {
        if !processes.contains_key(&declared.name) {
            let made: Vec<_> = processes.keys().map(ProcessTypeName::as_str).collect();
            return Err(CompileError::UnknownProcess {
                name: declared.name.to_string(),
                command: declared.command.clone(),
                line: declared.line,
                made: made.join(", "),
            });
        }
    }
    for (name, process) in processes {
        let default = || {
            let default = parts.metadata.default_process_types.get(name);
            default
                .cloned()
                .unwrap_or_else(|| match process.arguments.as_slice() {
                    [] => format!("({})", process.world),
                    arguments => shell_words::join(arguments),
                })
        };
        process.command = parts
            .procfile
            .command(name.as_str())
            .map_or_else(default, str::to_owned);
    }
    Ok(())
}

/// A component's file, looked at once however many process types name it.
#[derive(Clone)]
struct Outline {
    kind: component::ComponentKind,
    unmet: Vec<String>,
    has_boot: bool,
    /// One component may answer requests and also be a command: a language's base is both.
    is_command: bool,
}

fn check_component(
    name: &ProcessTypeName,
    process: &ProcessSource,
    checked: &mut BTreeMap<PathBuf, Outline>,
) -> Result<(), CompileError> {
    let Some(path) = &process.component else {
        return Ok(());
    };
    let process_name = name.to_string();
    let shown = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let outline = match checked.get(path) {
        Some(outline) => outline.clone(),
        None => outline(path, &process_name, &shown)?,
    };
    checked.insert(path.clone(), outline.clone());
    let serves = outline.kind.world() == Some(process.world.as_str())
        || (process.world == World::Command && outline.is_command);
    if !serves {
        return Err(CompileError::WrongWorld {
            process: process_name,
            component: shown,
            actual: outline.kind.to_string(),
            expected: process.world.to_string(),
        });
    }
    if !outline.unmet.is_empty() {
        return Err(CompileError::UnmetImports {
            process: process_name,
            component: shown,
            imports: outline
                .unmet
                .iter()
                .map(|name| component::with_provider(name))
                .collect(),
        });
    }
    if process.boot == Boot::Release && !outline.has_boot {
        return Err(CompileError::NoBoot {
            process: process_name,
            component: shown,
        });
    }
    Ok(())
}

fn outline(path: &Path, process: &str, shown: &str) -> Result<Outline, CompileError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            file.take(limits::COMPONENT_BYTES_MAX + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(failed("reading", path))?;
    let of = |source| CompileError::Component {
        process: process.to_owned(),
        component: shown.to_owned(),
        source,
    };
    let kind = component::kind(&bytes).map_err(of)?;
    let unmet = if kind.is_core() {
        Vec::new()
    } else {
        component::unmet_imports(&bytes).map_err(of)?
    };
    let exports = component::exports(&bytes).map_err(of)?;
    Ok(Outline {
        kind,
        unmet,
        has_boot: exports.iter().any(|name| name == "boot"),
        is_command: exports
            .iter()
            .any(|name| name.starts_with("wasi:cli/run@0.2")),
    })
}
