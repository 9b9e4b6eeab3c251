//! Which paths and links a slug's archives may have.

use crate::{error::Problem, limits::Limits};

/// Checks the raw name of an archive entry; answers the plain relative path, `None` for the root.
///
/// A leading `./` and a directory's trailing `/` are spellings that other tools use; everything
/// else that is not plain is refused. Upper and lower case and Unicode forms are kept as they are:
/// the guest sees the bytes that the build made.
pub(crate) fn entry_path(raw: &[u8], limits: &Limits) -> Result<Option<String>, Problem> {
    let text = std::str::from_utf8(raw).map_err(|_| Problem::Path("it is not UTF-8"))?;
    if text.starts_with('/') {
        return Err(Problem::Path("it is absolute"));
    }
    let text = text.strip_prefix("./").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() || text == "." {
        return if raw.is_empty() {
            Err(Problem::Path("it is empty"))
        } else {
            Ok(None)
        };
    }
    check_path(text, limits)?;
    Ok(Some(text.to_owned()))
}

/// Checks a plain relative path.
pub(crate) fn check_path(path: &str, limits: &Limits) -> Result<(), Problem> {
    if path.len() > limits.path_bytes_max {
        return Err(Problem::Limit {
            what: "the length of a path in bytes",
            limit: limits.path_bytes_max as u64,
        });
    }
    if path.contains('\0') {
        return Err(Problem::Path("it has a NUL byte"));
    }
    let mut depth = 0;
    for name in path.split('/') {
        match name {
            "" => return Err(Problem::Path("it has an empty part")),
            "." => return Err(Problem::Path("it has a `.` part")),
            ".." => return Err(Problem::Path("it has a `..` part")),
            _ if name.len() > limits.name_bytes_max => {
                return Err(Problem::Limit {
                    what: "the length of a name in bytes",
                    limit: limits.name_bytes_max as u64,
                });
            }
            _ => depth += 1,
        }
    }
    if depth > limits.path_depth_max {
        return Err(Problem::Limit {
            what: "the depth of a path",
            limit: limits.path_depth_max as u64,
        });
    }
    Ok(())
}

/// Checks that the link at `path` cannot lead out of the tree, whatever else the tree holds.
///
/// `..` may only come first, and not more often than the link's own depth. Then each `..` is taken
/// from a real directory (a link's parents are never links, see the layer reader), and what follows
/// only goes down or through other links of which the same is true. A `..` after a name is refused
/// even where it looks harmless: the name could be a link, and `..` then means another directory
/// than it says.
pub(crate) fn check_link(path: &str, target: &str, limits: &Limits) -> Result<(), Problem> {
    if target.len() > limits.path_bytes_max {
        return Err(Problem::Limit {
            what: "the length of a link's target in bytes",
            limit: limits.path_bytes_max as u64,
        });
    }
    let outside = || Problem::LinkTarget {
        target: target.to_owned(),
    };
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return Err(outside());
    }
    let depth = path.matches('/').count();
    let (mut up, mut down) = (0, 0);
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." if down == 0 => up += 1,
            ".." => return Err(outside()),
            _ => down += 1,
        }
    }
    if up > depth || down > limits.path_depth_max {
        return Err(outside());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(raw: &str) -> Result<Option<String>, Problem> {
        entry_path(raw.as_bytes(), &Limits::default())
    }

    #[test]
    fn plain_relative_paths_are_kept_as_they_are() {
        assert_eq!(path("a/B/ü.txt").unwrap().unwrap(), "a/B/ü.txt");
        assert_eq!(path("./a/").unwrap().unwrap(), "a");
        assert_eq!(path("./").unwrap(), None);
        assert_eq!(path("...").unwrap().unwrap(), "...");
    }

    #[test]
    fn paths_that_could_leave_the_tree_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "//x",
            "..",
            "a/..",
            "../a",
            "a/../../b",
            "a//b",
            "a/./b",
            ".//a",
            "a\0b",
        ] {
            assert!(path(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(entry_path(b"\xff", &Limits::default()).is_err());
    }

    #[test]
    fn the_longest_path_name_and_depth_are_accepted_and_one_more_is_not() {
        let limits = Limits {
            path_bytes_max: 12,
            name_bytes_max: 5,
            path_depth_max: 3,
            ..Limits::default()
        };
        assert!(check_path("aaaaa/bbbbbb", &limits).is_err(), "name of 6");
        assert!(check_path("aaaaa/bbbbb", &limits).is_ok());
        assert!(check_path("aaaa/bbbb/cc", &limits).is_ok(), "12 bytes");
        assert!(check_path("aaaa/bbbb/ccc", &limits).is_err(), "13 bytes");
        assert!(check_path("a/b/c", &limits).is_ok());
        assert!(check_path("a/b/c/d", &limits).is_err());
    }

    #[test]
    fn a_link_stays_in_the_tree_by_its_text_alone() {
        let link = |path, target| check_link(path, target, &Limits::default());
        for (path, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("a/b/c", "../../d/e"),
            ("a", "./b/"),
            ("a/b", ".."),
        ] {
            assert!(link(path, target).is_ok(), "{path} -> {target} was refused");
        }
        for (path, target) in [
            ("a", ""),
            ("a", "/etc"),
            ("a", ".."),
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a/b", "c/../d"),
            ("a/b", "../c/../../.."),
            ("a", "b\0"),
        ] {
            assert!(
                link(path, target).is_err(),
                "{path} -> {target} was accepted"
            );
        }
    }
}
