//! An app's source tree: which files belong to it, what they digest to, and a private copy of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use sha2::{Digest as _, Sha256};

use crate::limits;

/// What never belongs to an app's source, wherever it lies: version control's own files.
const VERSION_CONTROL: &[&str] = &[".git", ".gitmodules", ".hg", ".svn"];
/// What a build makes at the top of the tree; an older build's would be mistaken for this one's.
const BUILD_PRODUCTS: &str = ".dyno";

/// The files of an app's source, without what `.slugignore` leaves out.
#[derive(Debug)]
pub struct SourceTree {
    root: PathBuf,
    entries: Vec<Entry>,
    left_out: Vec<LeftOut>,
    bytes: u64,
}

/// Something in the source that a slug cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its path, relative to the source.
    pub path: PathBuf,
    /// Why, as a clause: `it points outside the app`.
    pub reason: &'static str,
}

/// A digest of an app's source: equal for equal names, kinds, contents and executable bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceDigest([u8; 32]);

/// An app's source could not be read or copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such directory.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// The machine failed.
    #[error("{action} {path} did not work")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it did not work.
        #[source]
        source: io::Error,
    },
    /// More files or bytes than a slug can hold.
    #[error(
        "the source in {path} is too large: {what} is over the limit of {limit}\n  hint: leave out what the app does not need with a .slugignore file"
    )]
    TooLarge {
        /// The source.
        path: PathBuf,
        /// What was measured.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The `.slugignore` is not readable as one.
    #[error("the .slugignore file is not readable")]
    Slugignore(#[source] ignore::Error),
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory,
    File { executable: bool },
    Link { target: PathBuf },
}

impl SourceTree {
    /// Finds the files of the source in `root`.
    ///
    /// `excluded` — paths relative to `root` that do not belong to it, such as the slug that is
    /// about to be written there. Files that appear later are not seen.
    pub fn scan(root: &Path, excluded: &[PathBuf]) -> Result<SourceTree, SourceError> {
        if !root.is_dir() {
            return Err(SourceError::NotADirectory(root.to_owned()));
        }
        let mut scan = Scan {
            ignore: slugignore(root)?,
            excluded,
            tree: SourceTree {
                root: root.to_owned(),
                entries: Vec::new(),
                left_out: Vec::new(),
                bytes: 0,
            },
        };
        scan.directory(Path::new(""), 1)?;
        Ok(scan.tree)
    }

    /// How many files it has.
    pub fn file_count(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::File { .. }))
            .count()
    }

    /// What a slug cannot hold and is left out, for a warning.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Reads every file and digests the whole.
    pub fn digest(&self) -> Result<SourceDigest, SourceError> {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for entry in &self.entries {
            part(entry.path.as_os_str().as_bytes());
            match &entry.kind {
                Kind::Directory => part(b"directory"),
                Kind::Link { target } => {
                    part(b"link");
                    part(target.as_os_str().as_bytes());
                }
                Kind::File { executable } => {
                    part(if *executable { b"program" } else { b"file" });
                    part(&file_digest(&self.root.join(&entry.path))?);
                }
            }
        }
        Ok(SourceDigest(hasher.finalize().into()))
    }

    /// Copies the source into `target`, which must not exist.
    ///
    /// Times are kept, because build tools compare them; owners are not.
    pub fn copy_to(&self, target: &Path) -> Result<(), SourceError> {
        fs::create_dir_all(target).map_err(failed("creating", target))?;
        for entry in &self.entries {
            let to = target.join(&entry.path);
            match &entry.kind {
                Kind::Directory => fs::create_dir(&to).map_err(failed("creating", &to))?,
                Kind::Link { target } => {
                    std::os::unix::fs::symlink(target, &to).map_err(failed("linking", &to))?;
                }
                Kind::File { executable } => {
                    copy_file(&self.root.join(&entry.path), &to, *executable)?;
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for SourceDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

struct Scan<'a> {
    ignore: Gitignore,
    excluded: &'a [PathBuf],
    tree: SourceTree,
}

impl Scan<'_> {
    /// Depth is counted, so that the recursion is bounded.
    fn directory(&mut self, relative: &Path, depth: usize) -> Result<(), SourceError> {
        let path = self.tree.root.join(relative);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed("listing", &path))? {
            names.push(entry.map_err(failed("listing", &path))?.file_name());
        }
        names.sort_unstable();
        for name in names {
            let is_top = relative.as_os_str().is_empty();
            let hidden = VERSION_CONTROL.iter().any(|hidden| name == *hidden);
            if hidden || (is_top && name == BUILD_PRODUCTS) {
                continue;
            }
            self.entry(relative.join(name), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, relative: PathBuf, depth: usize) -> Result<(), SourceError> {
        let path = self.tree.root.join(&relative);
        let metadata = fs::symlink_metadata(&path).map_err(failed("looking at", &path))?;
        let is_ignored = self
            .ignore
            .matched(&relative, metadata.is_dir())
            .is_ignore();
        if is_ignored || self.excluded.contains(&relative) {
            return Ok(());
        }
        if self.tree.entries.len() >= limits::SOURCE_ENTRIES_MAX {
            return Err(self.too_large("the number of files", limits::SOURCE_ENTRIES_MAX as u64));
        }
        if metadata.is_dir() {
            if depth >= limits::SOURCE_DEPTH_MAX {
                return Err(self.too_large("the depth", limits::SOURCE_DEPTH_MAX as u64));
            }
            self.tree.entries.push(Entry {
                path: relative.clone(),
                kind: Kind::Directory,
            });
            return self.directory(&relative, depth + 1);
        }
        if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(failed("reading the link", &path))?;
            if stays_inside(&relative, &target) {
                self.tree.entries.push(Entry {
                    path: relative,
                    kind: Kind::Link { target },
                });
            } else {
                self.leave_out(relative, "it is a link that leaves the app");
            }
            return Ok(());
        }
        if !metadata.is_file() {
            self.leave_out(relative, "it is a device, pipe or socket");
            return Ok(());
        }
        self.tree.bytes = self.tree.bytes.saturating_add(metadata.len());
        if self.tree.bytes > limits::SOURCE_BYTES_MAX {
            return Err(self.too_large("the number of bytes", limits::SOURCE_BYTES_MAX));
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        self.tree.entries.push(Entry {
            path: relative,
            kind: Kind::File { executable },
        });
        Ok(())
    }

    fn leave_out(&mut self, path: PathBuf, reason: &'static str) {
        self.tree.left_out.push(LeftOut { path, reason });
    }

    fn too_large(&self, what: &'static str, limit: u64) -> SourceError {
        SourceError::TooLarge {
            path: self.tree.root.clone(),
            what,
            limit,
        }
    }
}

/// The rules of the `.slugignore` at the top, in gitignore's syntax.
fn slugignore(root: &Path) -> Result<Gitignore, SourceError> {
    let mut builder = GitignoreBuilder::new("");
    if let Some(text) = read_text(&root.join(".slugignore"))? {
        for line in text.lines() {
            builder
                .add_line(None, line)
                .map_err(SourceError::Slugignore)?;
        }
    }
    builder.build().map_err(SourceError::Slugignore)
}

/// A small text file of the app; `None` when there is none.
///
/// Bytes that are not UTF-8 are replaced: what they spell is not one of our words anyway.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, SourceError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("opening", path)(error)),
    };
    let is_file = file
        .metadata()
        .map_err(failed("looking at", path))?
        .is_file();
    if !is_file {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limits::TEXT_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("reading", path))?;
    if bytes.len() as u64 > limits::TEXT_FILE_BYTES_MAX {
        return Err(SourceError::TooLarge {
            path: path.to_owned(),
            what: "the number of bytes in this file",
            limit: limits::TEXT_FILE_BYTES_MAX,
        });
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether a link stays in the tree by its text alone; a slug's layer has the same rule.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let depth = link.components().count() - 1;
    let (mut up, mut down) = (0, 0);
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if down == 0 => up += 1,
            // After a name, `..` could start from another directory than it says.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
            Component::Normal(_) => down += 1,
        }
    }
    up <= depth && up + down > 0
}

fn file_digest(path: &Path) -> Result<[u8; 32], SourceError> {
    let mut file = File::open(path).map_err(failed("opening", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed("reading", path))? {
            0 => return Ok(hasher.finalize().into()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

fn copy_file(from: &Path, to: &Path, executable: bool) -> Result<(), SourceError> {
    fs::copy(from, to).map_err(failed("copying", from))?;
    let mode = if executable { 0o755 } else { 0o644 };
    let modified = fs::metadata(from).and_then(|metadata| metadata.modified());
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .and_then(|()| File::options().write(true).open(to))
        .and_then(|file| file.set_modified(modified?))
        .map_err(failed("copying to", to))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn paths(root: &Path) -> Vec<String> {
        let tree = SourceTree::scan(root, &[]).unwrap();
        tree.entries
            .iter()
            .map(|entry| entry.path.display().to_string())
            .collect()
    }

    #[test]
    fn slugignore_and_version_control_stay_out() {
        let source = tempfile::tempdir().unwrap();
        let root = source.path();
        for path in [
            "a.txt",
            "docs/b.md",
            "docs/keep/c.txt",
            "x.log",
            ".git/config",
            ".dyno/old",
        ] {
            write(root, path, path);
        }
        write(
            root,
            ".slugignore",
            "*.log\n/docs/*\n!docs/keep\n\n# a comment\n",
        );
        assert_eq!(
            paths(root),
            [
                ".slugignore",
                "a.txt",
                "docs",
                "docs/keep",
                "docs/keep/c.txt"
            ]
        );
    }

    #[test]
    fn a_link_inside_is_kept_and_one_outside_is_named() {
        let source = tempfile::tempdir().unwrap();
        let root = source.path();
        write(root, "bin/tool", "x");
        std::os::unix::fs::symlink("../bin/tool", root.join("bin/alias")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("secret")).unwrap();
        std::os::unix::fs::symlink("../..", root.join("bin/up")).unwrap();
        let tree = SourceTree::scan(root, &[]).unwrap();
        let names: Vec<_> = tree
            .left_out()
            .iter()
            .map(|left_out| left_out.path.clone())
            .collect();
        assert_eq!(names, [PathBuf::from("bin/up"), PathBuf::from("secret")]);
        let copy = tempfile::tempdir().unwrap();
        tree.copy_to(&copy.path().join("copy")).unwrap();
        let link = fs::read_link(copy.path().join("copy/bin/alias")).unwrap();
        assert_eq!(link, Path::new("../bin/tool"));
        assert!(!copy.path().join("copy/secret").exists());
    }

    #[test]
    fn the_digest_changes_with_names_contents_and_executable_bits_only() {
        let source = tempfile::tempdir().unwrap();
        let root = source.path();
        write(root, "a", "1");
        let digest = || SourceTree::scan(root, &[]).unwrap().digest().unwrap();
        let first = digest();
        write(root, "a", "1");
        assert_eq!(digest(), first, "only the time changed");
        write(root, "a", "2");
        assert_ne!(digest(), first, "the contents changed");
        write(root, "a", "1");
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(digest(), first, "the executable bit changed");
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(digest(), first, "other bits do not count");
        fs::rename(root.join("a"), root.join("b")).unwrap();
        assert_ne!(digest(), first, "the name changed");
    }

    #[test]
    fn a_tree_deeper_than_the_limit_is_refused() {
        let source = tempfile::tempdir().unwrap();
        let deep = vec!["d"; limits::SOURCE_DEPTH_MAX - 1].join("/");
        fs::create_dir_all(source.path().join(&deep)).unwrap();
        assert!(SourceTree::scan(source.path(), &[]).is_ok());
        fs::create_dir_all(source.path().join(&deep).join("d")).unwrap();
        let error = SourceTree::scan(source.path(), &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the depth is over the limit of 64"),
            "{error}"
        );
    }
}
