//! The API's objects, as far as the verbs read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Config vars by name.
pub type ConfigVars = BTreeMap<String, String>;

/// The account behind the key.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    pub email: String,
}

/// An object that is only named.
#[derive(Clone, Debug, Deserialize)]
pub struct Named {
    pub name: String,
}

/// An app.
#[derive(Clone, Debug, Deserialize)]
pub struct App {
    pub name: String,
    pub git_url: String,
    pub web_url: String,
    pub owner: Account,
    pub region: Named,
    pub stack: Named,
    pub slug_size: Option<u64>,
    pub repo_size: Option<u64>,
    pub maintenance: bool,
}

/// A dyno.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Dyno {
    pub name: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub size: String,
    pub command: String,
    pub state: String,
    pub updated_at: String,
    pub release: DynoRelease,
}

/// The release a dyno runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DynoRelease {
    pub version: u64,
}

/// A process type's part of the formation.
#[derive(Clone, Debug, Deserialize)]
pub struct Formation {
    #[serde(rename = "type")]
    pub process_type: String,
    pub quantity: u32,
    pub size: String,
}

/// A release.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Release {
    pub id: String,
    pub version: u64,
    pub description: String,
    pub status: String,
    pub current: bool,
    #[serde(default)]
    pub eligible_for_rollback: bool,
    pub user: ReleaseUser,
    pub created_at: String,
    pub output_stream_url: Option<String>,
}

/// Who made a release.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReleaseUser {
    pub email: String,
}

/// A build.
#[derive(Clone, Debug, Deserialize)]
pub struct Build {
    pub id: String,
    pub status: String,
    pub output_stream_url: String,
}

/// Where a log is read.
#[derive(Clone, Debug, Deserialize)]
pub struct LogSession {
    pub logplex_url: String,
}
