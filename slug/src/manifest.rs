//! The slug manifest: what a slug holds and how to run it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    digest::Digest,
    limits::{FORMAT_VERSION, Limits},
    mount::MountPath,
    process_type::{ProcessType, ProcessTypeName, World},
};

/// What a slug holds and how to run it: the OCI image's config blob.
///
/// Readers tolerate fields they do not know, so that a later writer can add some; a change that
/// an old reader must not ignore raises `format_version`, which it then refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlugManifest {
    /// Version of this format: [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Stack the slug is made for, `wasi-1`.
    pub stack: String,
    /// Buildpacks that made it, in order.
    #[serde(default)]
    pub buildpacks: Vec<BuildpackInfo>,
    /// What can be run.
    pub process_types: BTreeMap<ProcessTypeName, ProcessType>,
    /// Config vars a new app starts with (`bin/release`'s `config_vars`).
    #[serde(default)]
    pub default_config_vars: BTreeMap<String, String>,
    /// Components, sorted by digest, each once.
    #[serde(default)]
    pub components: Vec<ComponentBlob>,
    /// File layers in mount order. The first is the app's own, mounted at `/app`.
    pub layers: Vec<FileLayer>,
}

/// A buildpack that took part in the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInfo {
    /// Its name: `python`.
    pub name: String,
    /// Its version: `0.1.0`.
    pub version: String,
}

/// One WebAssembly component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentBlob {
    /// Digest of the `.wasm` bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

/// One tree of files, packed as `tar+zstd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLayer {
    /// Digest of the packed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Sum of the sizes of all files in it.
    pub unpacked_size: u64,
    /// Where the guest sees it.
    pub mount: MountPath,
}

/// A manifest that cannot be what this crate wrote.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON of the manifest's shape.
    #[error("the slug manifest is not readable: {source}")]
    Syntax {
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Written by a newer (or no) dyno.
    #[error(
        "the slug has format version {found}, this dyno reads version {FORMAT_VERSION}\n  hint: build the slug again with this version of dyno, or update dyno"
    )]
    UnknownVersion {
        /// The version it says.
        found: u64,
    },
    /// Made for another stack.
    #[error("the slug is made for the stack \"{stack}\", this dyno has \"wasi-1\"")]
    UnknownStack {
        /// The stack it says.
        stack: String,
    },
    /// A value breaks a rule of the format.
    #[error("{key} in the slug manifest is refused: {problem}")]
    Invalid {
        /// Which value.
        key: String,
        /// Why.
        problem: String,
    },
}

impl SlugManifest {
    /// Reads and checks a manifest.
    pub(crate) fn from_json(bytes: &[u8], limits: &Limits) -> Result<Self, ManifestError> {
        // The version first and alone: a newer manifest may have any other shape.
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let syntax = |source| ManifestError::Syntax { source };
        let version: Version = serde_json::from_slice(bytes).map_err(syntax)?;
        if version.format_version != u64::from(FORMAT_VERSION) {
            return Err(ManifestError::UnknownVersion {
                found: version.format_version,
            });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        manifest.check(limits)?;
        Ok(manifest)
    }

    /// The bytes of the config blob: the same manifest always gives the same bytes.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        serde_json::to_vec(self).map_err(|source| ManifestError::Syntax { source })
    }

    /// Checks every rule that a value alone cannot check.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), ManifestError> {
        if self.stack != crate::limits::STACK {
            return Err(ManifestError::UnknownStack {
                stack: self.stack.chars().take(80).collect(),
            });
        }
        let count = |key: &str, found: usize, max: usize| {
            if found > max {
                Err(invalid(
                    key,
                    format!("{found} entries, at most {max} are allowed"),
                ))
            } else {
                Ok(())
            }
        };
        count("buildpacks", self.buildpacks.len(), limits.buildpacks_max)?;
        count(
            "process_types",
            self.process_types.len(),
            limits.process_types_max,
        )?;
        count("components", self.components.len(), limits.components_max)?;
        count("layers", self.layers.len(), limits.layers_max)?;
        for buildpack in &self.buildpacks {
            check_string("buildpacks.name", &buildpack.name, limits)?;
            check_string("buildpacks.version", &buildpack.version, limits)?;
        }
        check_variables("default_config_vars", &self.default_config_vars, limits)?;
        self.check_components(limits)?;
        self.check_layers(limits)?;
        for (name, process_type) in &self.process_types {
            self.check_process_type(name, process_type, limits)?;
        }
        Ok(())
    }

    fn check_components(&self, limits: &Limits) -> Result<(), ManifestError> {
        if !self.components.is_sorted_by(|a, b| a.digest < b.digest) {
            return Err(invalid(
                "components",
                "not sorted by digest, or one appears twice",
            ));
        }
        for component in &self.components {
            if component.size > limits.component_bytes_max {
                return Err(invalid(
                    format!("component {}", component.digest),
                    format!(
                        "{} bytes, at most {} are allowed",
                        component.size, limits.component_bytes_max
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_layers(&self, limits: &Limits) -> Result<(), ManifestError> {
        match self.layers.first() {
            Some(layer) if layer.mount.is_app() => {}
            _ => {
                return Err(invalid(
                    "layers",
                    "the first layer must be the app's files at /app",
                ));
            }
        }
        let mut unpacked: u64 = 0;
        for (index, layer) in self.layers.iter().enumerate() {
            unpacked = unpacked.saturating_add(layer.unpacked_size);
            for earlier in &self.layers[..index] {
                if layer.mount.overlaps(&earlier.mount) {
                    return Err(invalid(
                        "layers",
                        format!("the mounts {} and {} overlap", earlier.mount, layer.mount),
                    ));
                }
            }
            if layer.size > limits.slug_bytes_max {
                return Err(invalid(
                    format!("layer {}", layer.mount),
                    format!(
                        "{} bytes, at most {} are allowed",
                        layer.size, limits.slug_bytes_max
                    ),
                ));
            }
        }
        if unpacked > limits.unpacked_bytes_max {
            return Err(invalid(
                "layers",
                format!(
                    "the files take {unpacked} bytes unpacked, at most {} are allowed\n  hint: leave out what the app does not read at run time with a .slugignore file",
                    limits.unpacked_bytes_max
                ),
            ));
        }
        Ok(())
    }

    fn check_process_type(
        &self,
        name: &ProcessTypeName,
        process_type: &ProcessType,
        limits: &Limits,
    ) -> Result<(), ManifestError> {
        let key = |field: &str| format!("process_types.{name}.{field}");
        match (process_type.world, process_type.component) {
            (World::Static, Some(_)) => {
                return Err(invalid(
                    key("component"),
                    "a static process type has no component",
                ));
            }
            (World::Static, None) => {}
            (_, None) => {
                return Err(invalid(
                    key("component"),
                    "missing; only world \"static\" has none",
                ));
            }
            (_, Some(digest)) => {
                if !self
                    .components
                    .iter()
                    .any(|component| component.digest == digest)
                {
                    return Err(invalid(
                        key("component"),
                        format!("{digest} is not among the components"),
                    ));
                }
            }
        }
        if process_type.arguments.len() > limits.arguments_max {
            return Err(invalid(
                key("arguments"),
                format!(
                    "{} arguments, at most {} are allowed",
                    process_type.arguments.len(),
                    limits.arguments_max
                ),
            ));
        }
        check_string(&key("command"), &process_type.command, limits)?;
        for argument in &process_type.arguments {
            check_string(&key("arguments"), argument, limits)?;
        }
        check_variables(&key("environment"), &process_type.environment, limits)
    }
}

fn invalid(key: impl Into<String>, problem: impl Into<String>) -> ManifestError {
    ManifestError::Invalid {
        key: key.into(),
        problem: problem.into(),
    }
}

/// Why `text` cannot be an argument, a variable or a command line; `None` when it can.
pub(crate) fn string_problem(text: &str, limits: &Limits) -> Option<String> {
    if text.len() > limits.string_bytes_max {
        return Some(format!(
            "{} bytes long, at most {} are allowed",
            text.len(),
            limits.string_bytes_max
        ));
    }
    text.contains('\0')
        .then(|| "contains a NUL byte".to_owned())
}

/// Why `name` cannot name an environment variable; `None` when it can.
pub(crate) fn variable_name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("the name of a variable is empty".to_owned())
    } else if name.len() > 256 {
        Some("the name of a variable is longer than 256 bytes".to_owned())
    } else if name.contains(['=', '\0']) {
        Some(format!("the name {name:?} contains `=` or a NUL byte"))
    } else {
        None
    }
}

fn check_string(key: &str, text: &str, limits: &Limits) -> Result<(), ManifestError> {
    string_problem(text, limits).map_or(Ok(()), |problem| Err(invalid(key, problem)))
}

fn check_variables(
    key: &str,
    variables: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<(), ManifestError> {
    if variables.len() > limits.variables_max {
        return Err(invalid(
            key,
            format!(
                "{} variables, at most {} are allowed",
                variables.len(),
                limits.variables_max
            ),
        ));
    }
    for (name, value) in variables {
        if let Some(problem) = variable_name_problem(name) {
            return Err(invalid(key, problem));
        }
        check_string(&format!("{key}.{name}"), value, limits)?;
    }
    Ok(())
}
