//! Where the guest sees a file layer.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An absolute, normalised guest path a layer is mounted at, such as `/app` or `/python`.
///
/// Never `/`, and never inside `/tmp` (every dyno's private scratch directory) or below `/app`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MountPath(String);

/// A string that is no mount path.
#[derive(Debug, Error)]
#[error(
    "\"{path}\" is not a place to mount files: {problem}\n  hint: use an absolute path of its own, such as /python"
)]
pub struct ParseMountPathError {
    /// What was given.
    pub path: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

const PATH_BYTES_MAX: usize = 128;

impl MountPath {
    /// The app's own files: `/app`, the guest's working directory and home.
    pub fn app() -> Self {
        Self("/app".to_owned())
    }

    /// Whether this is `/app`.
    pub fn is_app(&self) -> bool {
        self.0 == "/app"
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two is the other or lies in it.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        is_within(&self.0, &other.0) || is_within(&other.0, &self.0)
    }
}

fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl FromStr for MountPath {
    type Err = ParseMountPathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| {
            Err(ParseMountPathError {
                path: path.chars().take(PATH_BYTES_MAX).collect(),
                problem,
            })
        };
        let Some(names) = path.strip_prefix('/') else {
            return refuse("it is not absolute");
        };
        if path.len() > PATH_BYTES_MAX {
            return refuse("it is longer than 128 bytes");
        }
        if names.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return refuse("it has an empty, `.` or `..` part");
        }
        if path.contains(|character: char| character.is_control() || character == '\\') {
            return refuse("it has a control character or a backslash");
        }
        if is_within(path, "/tmp") {
            return refuse("/tmp is the dyno's private scratch directory");
        }
        if is_within(path, "/app") && path != "/app" {
            return refuse("it lies inside the app's own files");
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<MountPath> for String {
    fn from(path: MountPath) -> Self {
        path.0
    }
}

impl TryFrom<String> for MountPath {
    type Error = ParseMountPathError;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        path.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_absolute_places_are_mounts() {
        for good in ["/app", "/python", "/usr/lib/node"] {
            assert_eq!(good.parse::<MountPath>().unwrap().as_str(), good);
        }
        for bad in [
            "", "app", "/", "/a/", "/a//b", "/a/../b", "/./a", "/tmp", "/tmp/x", "/app/x", "/a\0",
            "/a\\b",
        ] {
            assert!(bad.parse::<MountPath>().is_err(), "{bad:?} was accepted");
        }
        assert!(
            "/apple".parse::<MountPath>().is_ok(),
            "/apple is not in /app"
        );
    }

    #[test]
    fn nested_mounts_overlap_and_neighbours_do_not() {
        let path = |text: &str| text.parse::<MountPath>().unwrap();
        assert!(path("/a").overlaps(&path("/a/b")));
        assert!(path("/a/b").overlaps(&path("/a")));
        assert!(path("/a").overlaps(&path("/a")));
        assert!(!path("/a").overlaps(&path("/ab")));
    }
}
