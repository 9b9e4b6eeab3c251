//! A slug as the control plane knows it: a digest and what the API says about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppId, Timestamp};

/// Names a slug in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlugId(Uuid);

impl SlugId {
    /// A new random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads an id; `None` when `text` is not a uuid.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for SlugId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A slug's row. The bytes are in the slug store, under the digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slug {
    /// Its uuid.
    pub id: SlugId,
    /// The app it was built for; any app may release it.
    pub app: AppId,
    /// The slug's content digest, `sha256:…`.
    pub digest: String,
    /// Bytes of the slug's blobs.
    pub size: u64,
    /// Process type → command line as written.
    pub process_types: BTreeMap<String, String>,
    /// The commit that was built, if the client named one.
    pub commit: Option<String>,
    /// The commit's message, if the client named one.
    pub commit_description: Option<String>,
    /// What the buildpack calls itself, e.g. `Python`.
    pub buildpack_description: Option<String>,
    /// The stack it was built for.
    pub stack: String,
    /// When it was made.
    pub created_at: Timestamp,
}
