//! A release: vN, immutable, a slug and a snapshot of the config vars.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppId, SlugId, Timestamp};

/// A release's number within its app, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseVersion(u64);

impl ReleaseVersion {
    /// v1.
    pub const FIRST: Self = Self(1);

    /// Reads `3` or `v3`; `None` for anything else, zero included.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().filter(|number| *number > 0).map(Self)
    }

    /// The following version.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The version before this one; v1 has none.
    pub fn previous(self) -> Option<Self> {
        (self.0 > 1).then(|| Self(self.0 - 1))
    }

    /// The bare number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStatus {
    /// Its release command runs; the release before it serves.
    Pending,
    /// It may serve.
    Succeeded,
    /// Its release command failed; it never serves.
    Failed,
}

impl ReleaseStatus {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// A release as it is stored. Everything but `status` and `updated_at` never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its uuid.
    pub id: Uuid,
    /// The app it belongs to.
    pub app: AppId,
    /// vN.
    pub version: ReleaseVersion,
    /// What runs; none before the first deploy.
    pub slug: Option<SlugId>,
    /// The release whose stored config vars this one uses (itself when it changed them); none means no vars.
    pub config: Option<ReleaseVersion>,
    /// `Deploy 1a2b3c4d`, `Set FOO config vars`, `Rollback to v3`.
    pub description: String,
    /// What became of it.
    pub status: ReleaseStatus,
    /// Whether a release command ran for it, so that its output can be read.
    pub has_command: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::ReleaseVersion;

    #[test]
    fn versions_are_read_with_and_without_the_v() {
        assert_eq!(
            ReleaseVersion::parse("v12").map(ReleaseVersion::number),
            Some(12)
        );
        assert_eq!(
            ReleaseVersion::parse("12").map(ReleaseVersion::number),
            Some(12)
        );
        for bad in [
            "",
            "v",
            "0",
            "v0",
            "-1",
            "+1",
            "1.0",
            "vv1",
            "99999999999999999999",
        ] {
            assert_eq!(ReleaseVersion::parse(bad), None, "{bad}");
        }
    }
}
