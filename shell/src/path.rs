//! Paths of a dyno, as text.

/// The absolute path that `path` means in `directory`, without `.`, `..` and doubled slashes.
pub(crate) fn resolve(directory: &str, path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let before = if path.starts_with('/') { "" } else { directory };
    for name in before.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn a_path_is_resolved_by_its_text() {
        for (directory, path, resolved) in [
            ("/app", "", "/app"),
            ("/app", "bin", "/app/bin"),
            ("/app", "./bin//x/../y/", "/app/bin/y"),
            ("/app", "../../..", "/"),
            ("/app", "/tmp", "/tmp"),
        ] {
            assert_eq!(resolve(directory, path), resolved, "{directory} {path}");
        }
    }
}
