//! `.dyno/process-types.toml`: what a buildpack's `bin/compile` leaves for the slug compiler.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use thiserror::Error;
use toml::{Table, Value};

use crate::{
    builder::ProcessSource,
    limits::{Limits, STACK},
    manifest::{BuildpackInfo, string_problem, variable_name_problem},
    mount::MountPath,
    process_type::{Boot, ProcessTypeName, Reuse, World},
};

/// Where the file is, relative to the build directory.
const FILE: &str = ".dyno/process-types.toml";
/// The only version of the file there is.
const FORMAT: i64 = 1;

/// The parsed file. Paths in it are as written; [`ProcessTypesFile::resolve`] finds and checks them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProcessTypesFile {
    /// Stack, `wasi-1` unless written.
    pub stack: String,
    /// The buildpack that wrote it.
    pub buildpack: BuildpackInfo,
    /// Extra read-only file layers, in mount order.
    pub layers: Vec<LayerEntry>,
    /// Process types.
    pub processes: BTreeMap<ProcessTypeName, ProcessEntry>,
}

/// A `[[layer]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerEntry {
    /// The directory, as written.
    pub source: PathBuf,
    /// Where the guest sees it; never `/app` or `/tmp`.
    pub mount: MountPath,
}

/// A `[process.<name>]` table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProcessEntry {
    /// The component's file, as written; `None` exactly for [`World::Static`].
    pub component: Option<PathBuf>,
    /// What the component exports.
    pub world: World,
    /// `argv` of a command.
    pub arguments: Vec<String>,
    /// Variables the buildpack needs.
    pub environment: BTreeMap<String, String>,
    /// When the app initialises.
    pub boot: Boot,
    /// How long an instance lives.
    pub reuse: Reuse,
    /// The `static` table, for [`World::Static`].
    pub static_site: Option<serde_json::Value>,
}

/// The directories that the file's paths may lie in.
#[derive(Clone, Copy, Debug)]
pub struct SourceRoots<'a> {
    /// The build directory: relative paths start here.
    pub build_dir: &'a Path,
    /// Directories that absolute paths may lie in: the toolchain directory, the app's build cache.
    pub shared: &'a [&'a Path],
}

/// The file with every path found, and known to lie where it may.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResolvedProcessTypes {
    /// Process types with absolute component paths; `command` is empty until the Procfile fills it.
    pub processes: BTreeMap<ProcessTypeName, ProcessSource>,
    /// Layers with absolute source directories, in mount order.
    pub layers: Vec<(MountPath, PathBuf)>,
    /// What of the build directory is a component's file or a layer's source, relative to it: not
    /// part of the app's own files.
    pub used: Vec<PathBuf>,
}

/// `.dyno/process-types.toml` is not usable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessTypesError {
    /// There is none.
    #[error(
        "the buildpack left no {FILE}\n  hint: bin/compile must write it; the buildpack's documentation describes it"
    )]
    Missing,
    /// It cannot be read.
    #[error("{FILE} could not be read")]
    Io {
        /// Why.
        source: io::Error,
    },
    /// It is too large.
    #[error("{FILE} is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It is not TOML.
    #[error("{FILE} is not valid TOML:\n{message}")]
    Syntax {
        /// What the parser said, with line and column.
        message: String,
    },
    /// A key has a value that is not allowed, is missing or is unknown.
    #[error("{FILE}: {key} {problem}\n  hint: {hint}")]
    Key {
        /// The key, dotted.
        key: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}

impl ProcessTypesFile {
    /// Reads and parses the file of a build directory.
    pub fn read(build_dir: &Path) -> Result<Self, ProcessTypesError> {
        let limits = Limits::default();
        let file = match File::open(build_dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ProcessTypesError::Missing);
            }
            Err(source) => return Err(ProcessTypesError::Io { source }),
        };
        let mut text = String::new();
        file.take(limits.process_types_bytes_max.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(|source| ProcessTypesError::Io { source })?;
        if text.len() as u64 > limits.process_types_bytes_max {
            return Err(ProcessTypesError::TooLarge {
                limit: limits.process_types_bytes_max,
            });
        }
        Self::parse(&text)
    }

    /// Parses the text of the file.
    pub fn parse(text: &str) -> Result<Self, ProcessTypesError> {
        let limits = Limits::default();
        let root: Table =
            text.parse()
                .map_err(|error: toml::de::Error| ProcessTypesError::Syntax {
                    message: error.to_string().trim_end().to_owned(),
                })?;
        let mut root = Keys::new("", root);
        match root.take("format") {
            Some(Value::Integer(FORMAT)) => {}
            Some(other) => {
                return Err(root.error(
                    "format",
                    format!("is {other}"),
                    "this dyno reads `format = 1`; update dyno or the buildpack",
                ));
            }
            None => {
                return Err(root.error("format", "is missing", "begin the file with `format = 1`"));
            }
        }
        let stack = root.string("stack")?.unwrap_or_else(|| STACK.to_owned());
        if stack != STACK {
            return Err(root.error(
                "stack",
                format!("is \"{stack}\""),
                "the only stack is \"wasi-1\"",
            ));
        }
        let mut buildpack = root.table("buildpack")?.ok_or_else(|| {
            root.error(
                "buildpack",
                "is missing",
                "add [buildpack] with name and version",
            )
        })?;
        let buildpack_info = BuildpackInfo {
            name: buildpack.required_string("name", "name the buildpack, such as \"python\"")?,
            version: buildpack
                .required_string("version", "give the buildpack's version, such as \"0.1.0\"")?,
        };
        buildpack.finish()?;
        let layers = layers(&mut root, &limits)?;
        let processes = processes(&mut root, &limits)?;
        root.finish()?;
        Ok(Self {
            stack,
            buildpack: buildpack_info,
            layers,
            processes,
        })
    }

    /// Finds every file and directory, and checks that it lies in the build directory or in a
    /// shared one, links followed.
    pub fn resolve(
        &self,
        roots: SourceRoots<'_>,
    ) -> Result<ResolvedProcessTypes, ProcessTypesError> {
        let build_dir = roots
            .build_dir
            .canonicalize()
            .map_err(|source| ProcessTypesError::Io { source })?;
        let mut used = Vec::new();
        let mut find = |key: String, path: &Path| {
            let found = find(&key, path, &build_dir, roots.shared)?;
            if let Ok(relative) = found.strip_prefix(&build_dir) {
                used.push(relative.to_owned());
            }
            Ok::<_, ProcessTypesError>((key, found))
        };
        let mut layers = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let (key, directory) = find(format!("layer[{index}].source"), &layer.source)?;
            if !directory.is_dir() || directory == build_dir {
                return Err(key_error(
                    key,
                    format!(
                        "is \"{}\", which is no directory of its own",
                        layer.source.display()
                    ),
                    "name a directory below the build directory, or in the toolchain directory",
                ));
            }
            layers.push((layer.mount.clone(), directory));
        }
        let mut processes = BTreeMap::new();
        for (name, entry) in &self.processes {
            let mut process = ProcessSource::new("", entry.world);
            if let Some(component) = &entry.component {
                let (key, file) = find(format!("process.{name}.component"), component)?;
                if !file.is_file() {
                    return Err(key_error(
                        key,
                        format!("is \"{}\", which is no file", component.display()),
                        "name the .wasm file that bin/compile made",
                    ));
                }
                process.component = Some(file);
            }
            process.arguments.clone_from(&entry.arguments);
            process.environment.clone_from(&entry.environment);
            process.boot = entry.boot;
            process.reuse = entry.reuse;
            process.static_site.clone_from(&entry.static_site);
            processes.insert(name.clone(), process);
        }
        used.sort();
        used.dedup();
        Ok(ResolvedProcessTypes {
            processes,
            layers,
            used,
        })
    }
}

fn find(
    key: &str,
    path: &Path,
    build_dir: &Path,
    shared: &[&Path],
) -> Result<PathBuf, ProcessTypesError> {
    let shown = path.display();
    // `join` takes an absolute path as it is.
    let found = build_dir.join(path).canonicalize().map_err(|error| {
        key_error(
            key,
            format!("is \"{shown}\": {error}"),
            "bin/compile must make it before it ends",
        )
    })?;
    let inside = |root: &Path| {
        root.canonicalize()
            .is_ok_and(|root| found.starts_with(root))
    };
    if inside(build_dir) || (path.is_absolute() && shared.iter().any(|root| inside(root))) {
        return Ok(found);
    }
    Err(key_error(
        key,
        format!("is \"{shown}\", which is outside the build directory"),
        "use a path below the build directory, or an absolute one in $DYNO_TOOLCHAIN_DIR or the cache directory",
    ))
}

fn layers(root: &mut Keys, limits: &Limits) -> Result<Vec<LayerEntry>, ProcessTypesError> {
    let entries = match root.take("layer") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            return Err(root.error(
                "layer",
                "is not a list of tables",
                "write each layer as [[layer]] with source and mount",
            ));
        }
    };
    // The app's own files are a layer too.
    if entries.len() + 1 > limits.layers_max {
        return Err(root.error(
            "layer",
            format!("has {} entries", entries.len()),
            format!("at most {} layers are allowed", limits.layers_max - 1),
        ));
    }
    let mut layers: Vec<LayerEntry> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let prefix = format!("layer[{index}]");
        let Value::Table(table) = entry else {
            return Err(key_error(
                prefix,
                "is not a table",
                "write each layer as [[layer]] with source and mount",
            ));
        };
        let mut keys = Keys::new(prefix, table);
        let source = keys.required_string("source", "name the directory with the layer's files")?;
        let source = keys.path("source", source)?;
        let mount = keys.required_string(
            "mount",
            "say where the guest sees the files, such as \"/python\"",
        )?;
        let mount: MountPath =
            mount
                .parse()
                .map_err(|error: crate::mount::ParseMountPathError| {
                    keys.error(
                        "mount",
                        format!("is \"{}\": {}", error.path, error.problem),
                        "use an absolute path of its own, such as /python",
                    )
                })?;
        if mount.is_app() {
            return Err(keys.error(
                "mount",
                "is \"/app\"",
                "/app holds the app's own files; choose another path",
            ));
        }
        if let Some(other) = layers.iter().find(|layer| layer.mount.overlaps(&mount)) {
            return Err(keys.error(
                "mount",
                format!("is \"{mount}\", which overlaps {}", other.mount),
                "mount every layer at a path of its own",
            ));
        }
        keys.finish()?;
        layers.push(LayerEntry { source, mount });
    }
    Ok(layers)
}

fn processes(
    root: &mut Keys,
    limits: &Limits,
) -> Result<BTreeMap<ProcessTypeName, ProcessEntry>, ProcessTypesError> {
    let hint = "add a table such as [process.web]";
    let table = root
        .table("process")?
        .ok_or_else(|| root.error("process", "is missing", hint))?;
    if table.table.is_empty() {
        return Err(root.error("process", "is empty", hint));
    }
    if table.table.len() > limits.process_types_max {
        return Err(root.error(
            "process",
            format!("has {} process types", table.table.len()),
            format!("at most {} are allowed", limits.process_types_max),
        ));
    }
    let mut processes = BTreeMap::new();
    for (name, value) in table.table {
        let key = format!("process.{name}");
        let name: ProcessTypeName = name.parse().map_err(|_| {
            key_error(
                &key,
                "is not a process type name",
                "use 1 to 30 letters, digits, `_` and `-`",
            )
        })?;
        let Value::Table(table) = value else {
            return Err(key_error(
                &key,
                "is not a table",
                format!("write it as [process.{name}]"),
            ));
        };
        processes.insert(name, process(Keys::new(key, table), limits)?);
    }
    Ok(processes)
}

fn process(mut keys: Keys, limits: &Limits) -> Result<ProcessEntry, ProcessTypesError> {
    let worlds = World::ALL.map(|world| format!("\"{world}\"")).join(", ");
    let written = keys.required_string("world", format!("one of {worlds}"))?;
    let world = World::ALL
        .into_iter()
        .find(|world| world.as_str() == written)
        .ok_or_else(|| {
            keys.error(
                "world",
                format!("is \"{written}\""),
                format!("use one of {worlds}"),
            )
        })?;
    let component = match (keys.string("component")?, world) {
        (Some(_), World::Static) => {
            return Err(keys.error(
                "component",
                "is set",
                "world \"static\" has no component: remove the key",
            ));
        }
        (None, World::Static) => None,
        (None, _) => {
            return Err(keys.error(
                "component",
                "is missing",
                "name the .wasm file that bin/compile made",
            ));
        }
        (Some(path), _) => Some(keys.path("component", path)?),
    };
    let boot = keys.choice(
        "boot",
        &[("release", Boot::Release), ("start", Boot::Start)],
    )?;
    let reuse = keys.choice(
        "reuse",
        &[("instance", Reuse::Instance), ("request", Reuse::Request)],
    )?;
    let arguments = keys.arguments(limits)?;
    let environment = keys.environment(limits)?;
    let static_site = match keys.table("static")? {
        Some(_) if world != World::Static => {
            return Err(keys.error(
                "static",
                "is set",
                format!("only world \"static\" has these settings, this one is \"{world}\""),
            ));
        }
        Some(settings) => Some(settings.into_json()?),
        None => None,
    };
    keys.finish()?;
    Ok(ProcessEntry {
        component,
        world,
        arguments,
        environment,
        boot: boot.unwrap_or_default(),
        reuse: reuse.unwrap_or_default(),
        static_site,
    })
}

// === a table whose keys are taken one by one, so that what is left over is unknown ===

struct Keys {
    prefix: String,
    table: Table,
    known: Vec<&'static str>,
}

impl Keys {
    fn new(prefix: impl Into<String>, table: Table) -> Self {
        Self {
            prefix: prefix.into(),
            table,
            known: Vec::new(),
        }
    }

    fn dotted(&self, key: &str) -> String {
        if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.prefix)
        }
    }

    fn error(
        &self,
        key: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> ProcessTypesError {
        key_error(self.dotted(key), problem, hint)
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn string(&mut self, key: &'static str) -> Result<Option<String>, ProcessTypesError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => match string_problem(&text, &Limits::default()) {
                Some(problem) => Err(self.error(key, problem, "shorten or correct it")),
                None => Ok(Some(text)),
            },
            Some(other) => Err(self.error(
                key,
                format!("is of the type {}", other.type_str()),
                "write a string in quotes",
            )),
        }
    }

    fn required_string(
        &mut self,
        key: &'static str,
        hint: impl Into<String>,
    ) -> Result<String, ProcessTypesError> {
        let text = self.string(key)?;
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| self.error(key, "is missing or empty", hint))
    }

    fn table(&mut self, key: &'static str) -> Result<Option<Self>, ProcessTypesError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Self::new(self.dotted(key), table))),
            Some(other) => Err(self.error(
                key,
                format!("is of the type {}", other.type_str()),
                "write it as a table",
            )),
        }
    }

    /// A path that could not mean another place than it says.
    fn path(&self, key: &str, text: String) -> Result<PathBuf, ProcessTypesError> {
        let path = PathBuf::from(text);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(self.error(
                key,
                format!("is \"{}\"", path.display()),
                "use a path without `..`",
            ));
        }
        Ok(path)
    }

    fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ProcessTypesError> {
        let Some(written) = self.string(key)? else {
            return Ok(None);
        };
        match choices.iter().find(|(name, _)| *name == written) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names = choices
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect::<Vec<_>>();
                Err(self.error(
                    key,
                    format!("is \"{written}\""),
                    format!("use {}", names.join(" or ")),
                ))
            }
        }
    }

    fn arguments(&mut self, limits: &Limits) -> Result<Vec<String>, ProcessTypesError> {
        const KEY: &str = "arguments";
        let hint = "write a list of strings, such as [\"python\", \"app.py\"]";
        let values = match self.take(KEY) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(self.error(KEY, "is not a list", hint)),
        };
        if values.len() > limits.arguments_max {
            return Err(self.error(
                KEY,
                format!("has {} entries", values.len()),
                format!("at most {} are allowed", limits.arguments_max),
            ));
        }
        let mut arguments = Vec::new();
        for value in values {
            let Value::String(text) = value else {
                return Err(self.error(KEY, "has an entry that is no string", hint));
            };
            if let Some(problem) = string_problem(&text, limits) {
                return Err(self.error(KEY, format!("has an entry that is {problem}"), hint));
            }
            arguments.push(text);
        }
        Ok(arguments)
    }

    fn environment(
        &mut self,
        limits: &Limits,
    ) -> Result<BTreeMap<String, String>, ProcessTypesError> {
        const KEY: &str = "environment";
        let Some(table) = self.table(KEY)? else {
            return Ok(BTreeMap::new());
        };
        if table.table.len() > limits.variables_max {
            return Err(self.error(
                KEY,
                format!("has {} variables", table.table.len()),
                format!("at most {} are allowed", limits.variables_max),
            ));
        }
        let mut environment = BTreeMap::new();
        for (name, value) in table.table {
            let key = self.dotted(&format!("{KEY}.{name}"));
            let hint = "write NAME = \"value\"";
            if let Some(problem) = variable_name_problem(&name) {
                return Err(key_error(key, format!("is refused: {problem}"), hint));
            }
            let Value::String(value) = value else {
                return Err(key_error(key, "is no string", hint));
            };
            if let Some(problem) = string_problem(&value, limits) {
                return Err(key_error(key, format!("is refused: {problem}"), hint));
            }
            environment.insert(name, value);
        }
        Ok(environment)
    }

    fn into_json(self) -> Result<serde_json::Value, ProcessTypesError> {
        to_json(&self.prefix, Value::Table(self.table))
    }

    /// Refuses what was not taken: most often a misspelt key, which would silently do nothing.
    fn finish(self) -> Result<(), ProcessTypesError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.error(
                key,
                "is unknown",
                format!("known here: {}", self.known.join(", ")),
            )),
        }
    }
}

fn to_json(key: &str, value: Value) -> Result<serde_json::Value, ProcessTypesError> {
    Ok(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Boolean(boolean) => boolean.into(),
        Value::Datetime(datetime) => datetime.to_string().into(),
        Value::Float(number) => serde_json::Number::from_f64(number)
            .map(serde_json::Value::Number)
            .ok_or_else(|| key_error(key, format!("is {number}"), "use a finite number"))?,
        Value::Array(values) => {
            let values: Result<_, _> = values
                .into_iter()
                .map(|value| to_json(key, value))
                .collect();
            serde_json::Value::Array(values?)
        }
        Value::Table(table) => {
            let mut map = serde_json::Map::new();
            for (name, value) in table {
                let value = to_json(&format!("{key}.{name}"), value)?;
                map.insert(name, value);
            }
            serde_json::Value::Object(map)
        }
    })
}

fn key_error(
    key: impl Into<String>,
    problem: impl Into<String>,
    hint: impl Into<String>,
) -> ProcessTypesError {
    ProcessTypesError::Key {
        key: key.into(),
        problem: problem.into(),
        hint: hint.into(),
    }
}
