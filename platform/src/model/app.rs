//! An app: a named unit of deployment and the pointers to its releases.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppName, ReleaseVersion, Timestamp};

/// Names an app for ever; its name may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppId(Uuid);

impl AppId {
    /// A new random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads an id; `None` when `text` is not a uuid.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The feature that tells dynos what they are.
pub const RUNTIME_DYNO_METADATA: &str = "runtime-dyno-metadata";

/// An app as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Never changes.
    pub id: AppId,
    /// Unique in the installation, may change.
    pub name: AppName,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a field of it last changed.
    pub updated_at: Timestamp,
    /// When the current release became current.
    pub released_at: Option<Timestamp>,
    /// Answer every request with the maintenance page (H80).
    pub maintenance: bool,
    /// Buildpacks chosen by the user, in order; empty means "detect".
    pub buildpacks: Vec<String>,
    /// Features that were switched on, by Heroku's names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// What detection found at the last build.
    pub buildpack_detected: Option<String>,
    /// The newest release, whatever became of it: its config vars are the app's.
    pub release_latest: Option<ReleaseVersion>,
    /// The newest release that succeeded: what runs.
    pub release_current: Option<ReleaseVersion>,
    /// Bytes of the current release's slug.
    pub slug_size: Option<u64>,
}

impl App {
    /// A new app without a release.
    pub fn new(name: AppName) -> Self {
        let now = Timestamp::now();
        Self {
            id: AppId::generate(),
            name,
            created_at: now,
            updated_at: now,
            released_at: None,
            maintenance: false,
            buildpacks: Vec::new(),
            features: BTreeSet::new(),
            buildpack_detected: None,
            release_latest: None,
            release_current: None,
            slug_size: None,
        }
    }

    /// The version the next release gets: versions are never reused.
    pub fn release_next(&self) -> ReleaseVersion {
        self.release_latest
            .map_or(ReleaseVersion::FIRST, ReleaseVersion::next)
    }
}
