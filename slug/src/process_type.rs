//! A process type: one line of the Procfile, resolved to something that runs.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{digest::Digest, limits::PROCESS_TYPE_NAME_BYTES_MAX};

/// Name of a process type: 1 to 30 of `A-Z a-z 0-9 _ -`, such as `web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProcessTypeName(String);

/// A string that is no process type name.
#[derive(Debug, Error)]
#[error(
    "\"{name}\" is not a process type name\n  hint: use 1 to 30 letters, digits, `_` and `-`, such as web"
)]
pub struct ParseProcessTypeNameError {
    /// What was given.
    pub name: String,
}

impl ProcessTypeName {
    /// The process type that gets HTTP requests: `web`.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessTypeName {
    type Err = ParseProcessTypeNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > PROCESS_TYPE_NAME_BYTES_MAX || !name.bytes().all(allowed)
        {
            return Err(ParseProcessTypeNameError {
                name: name.chars().take(80).collect(),
            });
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for ProcessTypeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for ProcessTypeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ProcessTypeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<ProcessTypeName> for String {
    fn from(name: ProcessTypeName) -> Self {
        name.0
    }
}

impl TryFrom<String> for ProcessTypeName {
    type Error = ParseProcessTypeNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

/// What can be run, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessType {
    /// The Procfile's line, as written.
    pub command: String,
    /// The component that runs it; `None` only for [`World::Static`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    /// What the component exports.
    pub world: World,
    /// `argv` of a command, `argv[0]` included; empty for handlers.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Variables the buildpack needs; the app's config vars win over them.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// When the app initialises.
    #[serde(default)]
    pub boot: Boot,
    /// How long an instance lives.
    #[serde(default)]
    pub reuse: Reuse,
    /// Settings of [`World::Static`], as the buildpack wrote them.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_site: Option<serde_json::Value>,
}

/// The world a component is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum World {
    /// Handles HTTP requests, WASI 0.2: exports `wasi:http/incoming-handler`.
    #[serde(rename = "wasi:http/proxy@0.2")]
    HttpProxy,
    /// Handles HTTP requests, WASI 0.3: exports `wasi:http/handler`.
    #[serde(rename = "wasi:http/service@0.3")]
    HttpService,
    /// Runs to its end: exports `wasi:cli/run`.
    #[serde(rename = "wasi:cli/command@0.2")]
    Command,
    /// Files served by the host; there is no component.
    #[serde(rename = "static")]
    Static,
}

impl World {
    /// Every world, in the order errors list them.
    pub const ALL: [Self; 4] = [
        Self::HttpProxy,
        Self::HttpService,
        Self::Command,
        Self::Static,
    ];

    /// Its name in files: `wasi:http/proxy@0.2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpProxy => "wasi:http/proxy@0.2",
            Self::HttpService => "wasi:http/service@0.3",
            Self::Command => "wasi:cli/command@0.2",
            Self::Static => "static",
        }
    }

    /// Whether it answers HTTP requests without binding a port.
    pub fn is_http(self) -> bool {
        !matches!(self, Self::Command)
    }
}

impl fmt::Display for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// When the app's own code initialises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// Once per release, with its config vars: the component exports `boot`, its heap is snapshotted.
    Release,
    /// In every instance, at its first request.
    #[default]
    Start,
}

/// How long one instance lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reuse {
    /// A warm instance serves many requests.
    #[default]
    Instance,
    /// Every request gets a fresh instance.
    Request,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_30_is_a_process_type_and_one_of_31_is_not() {
        assert!("a".repeat(30).parse::<ProcessTypeName>().is_ok());
        assert!("a".repeat(31).parse::<ProcessTypeName>().is_err());
        for bad in ["", "a.b", "a b", "ä", "../x"] {
            assert!(
                bad.parse::<ProcessTypeName>().is_err(),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn a_world_is_written_as_it_is_named() {
        for world in World::ALL {
            let json = serde_json::to_string(&world).unwrap();
            assert_eq!(json, format!("\"{}\"", world.as_str()));
            assert_eq!(serde_json::from_str::<World>(&json).unwrap(), world);
        }
    }
}
