//! A build: one run of the slug compiler over one source.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppId, ReleaseVersion, SlugId, Timestamp};

/// Names a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildId(Uuid);

impl BuildId {
    /// A new random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads an id; `None` when `text` is not a uuid.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The uuid itself.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What became of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStatus {
    /// Waits or runs.
    Pending,
    /// Made a slug.
    Succeeded,
    /// Made none; the app runs what it ran before.
    Failed,
}

impl BuildStatus {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl Build {
    /// A build that waits, of a source that nothing is said about.
    pub fn new(app: AppId) -> Self {
        let now = Timestamp::now();
        Self {
            id: BuildId::generate(),
            app,
            status: BuildStatus::Pending,
            buildpacks: Vec::new(),
            source_version: None,
            source_description: None,
            source_checksum: None,
            slug: None,
            release: None,
            release_id: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// A build as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its uuid.
    pub id: BuildId,
    /// The app it is for.
    pub app: AppId,
    /// What became of it.
    pub status: BuildStatus,
    /// Buildpacks asked for by this build alone; empty means the app's.
    pub buildpacks: Vec<String>,
    /// Commit or other name of the source, if the client gave one.
    pub source_version: Option<String>,
    /// Longer words about the source, if the client gave some.
    pub source_description: Option<String>,
    /// The checksum the client promised, `SHA256:…`.
    pub source_checksum: Option<String>,
    /// The slug it made.
    pub slug: Option<SlugId>,
    /// The release it made.
    pub release: Option<ReleaseVersion>,
    /// The uuid of that release.
    pub release_id: Option<Uuid>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
}
