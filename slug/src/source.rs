//! A directory on this machine whose files go into a slug.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::{
    ambient_authority,
    fs::{Dir, File, MetadataExt, OpenOptions},
};

use crate::{
    error::{Problem, WriteError},
    limits::Limits,
    path::{check_link, check_path},
};

/// What an entry of a source directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, which is never followed.
    Symlink,
}

/// An entry of a source directory, as an ignore rule sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SourceEntry<'a> {
    /// Its path, relative to the source directory.
    pub path: &'a Path,
    /// What it is.
    pub kind: EntryKind,
}

type IgnoreRule = Box<dyn Fn(SourceEntry<'_>) -> bool + Send + Sync>;

/// A directory whose files go into a slug, without what is left out.
///
/// Files keep their bytes and whether their owner may execute them; owners, times and other modes
/// are not kept. Links stay links when they stay inside the directory.
pub struct FileSource {
    pub(crate) directory: PathBuf,
    excluded: BTreeSet<PathBuf>,
    ignore: Option<IgnoreRule>,
}

impl FileSource {
    /// All of `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            excluded: BTreeSet::new(),
            ignore: None,
        }
    }

    /// Leaves out `path` (relative to the directory) and everything below it.
    #[must_use]
    pub fn exclude(mut self, path: impl Into<PathBuf>) -> Self {
        self.excluded.insert(path.into());
        self
    }

    /// Leaves out every entry for which `rule` answers true, and everything below it.
    #[must_use]
    pub fn ignore(
        mut self,
        rule: impl Fn(SourceEntry<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.ignore = Some(Box::new(rule));
        self
    }

    fn leaves_out(&self, entry: SourceEntry<'_>) -> bool {
        self.excluded.contains(entry.path) || self.ignore.as_ref().is_some_and(|rule| rule(entry))
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileSource")
            .field("directory", &self.directory)
            .field("excluded", &self.excluded)
            .field("ignore", &self.ignore.is_some())
            .finish()
    }
}

/// One entry on its way into a layer.
pub(crate) enum Found {
    File {
        file: File,
        size: u64,
        executable: bool,
    },
    Directory,
    Symlink {
        target: String,
    },
}

/// Calls `visit` for every entry that is not left out: parents first, names in byte order.
pub(crate) fn walk(
    source: &FileSource,
    limits: &Limits,
    visit: &mut dyn FnMut(&str, Found) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let root = Dir::open_ambient_dir(&source.directory, ambient_authority()).map_err(|error| {
        WriteError::Io {
            action: "opening the directory",
            path: source.directory.clone(),
            source: error,
        }
    })?;
    let mut walk = Walk {
        source,
        limits,
        visit,
        entries: 0,
    };
    walk.directory(&root, "")
}

struct Walk<'a> {
    source: &'a FileSource,
    limits: &'a Limits,
    visit: &'a mut dyn FnMut(&str, Found) -> Result<(), WriteError>,
    entries: u64,
}

impl Walk<'_> {
    /// Recursion is bounded by the path depth that `check_path` allows.
    fn directory(&mut self, directory: &Dir, prefix: &str) -> Result<(), WriteError> {
        let mut names = Vec::new();
        for entry in directory
            .entries()
            .map_err(|error| self.io("listing", prefix, error))?
        {
            let entry = entry.map_err(|error| self.io("listing", prefix, error))?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| WriteError::Source {
                    path: self.source.directory.join(prefix).join(name),
                    problem: Problem::Path("its name is not UTF-8"),
                })?;
            names.push(name);
        }
        // Byte order: the same on every machine and in every locale.
        names.sort_unstable();
        for name in names {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            self.entry(directory, &name, &path)?;
        }
        Ok(())
    }

    fn entry(&mut self, directory: &Dir, name: &str, path: &str) -> Result<(), WriteError> {
        let metadata = directory
            .symlink_metadata(name)
            .map_err(|error| self.io("looking at", path, error))?;
        let kind = if metadata.is_dir() {
            EntryKind::Directory
        } else if metadata.is_symlink() {
            EntryKind::Symlink
        } else {
            EntryKind::File
        };
        if self.source.leaves_out(SourceEntry {
            path: Path::new(path),
            kind,
        }) {
            return Ok(());
        }
        check_path(path, self.limits).map_err(|problem| self.refused(path, problem))?;
        self.entries += 1;
        if self.entries > self.limits.entries_max {
            return Err(self.refused(
                path,
                Problem::Limit {
                    what: "the number of files in one layer",
                    limit: self.limits.entries_max,
                },
            ));
        }
        match kind {
            EntryKind::Directory => {
                (self.visit)(path, Found::Directory)?;
                let child = directory
                    .open_dir_nofollow(name)
                    .map_err(|error| self.io("opening", path, error))?;
                self.directory(&child, path)
            }
            EntryKind::Symlink => {
                let target = directory
                    .read_link_contents(name)
                    .map_err(|error| self.io("reading the link", path, error))?;
                let target = target.into_os_string().into_string().map_err(|target| {
                    self.refused(
                        path,
                        Problem::LinkTarget {
                            target: target.to_string_lossy().into_owned(),
                        },
                    )
                })?;
                check_link(path, &target, self.limits)
                    .map_err(|problem| self.refused(path, problem))?;
                (self.visit)(path, Found::Symlink { target })
            }
            EntryKind::File => {
                let found = self.open_file(directory, name, path)?;
                (self.visit)(path, found)
            }
        }
    }

    fn open_file(&self, directory: &Dir, name: &str, path: &str) -> Result<Found, WriteError> {
        let mut options = OpenOptions::new();
        // Non-blocking: a pipe put in the file's place must not hang the build.
        options.read(true).follow(FollowSymlinks::No).nonblock(true);
        let special = || self.refused(path, Problem::Kind("a device, pipe or socket"));
        let before = directory
            .symlink_metadata(name)
            .map_err(|error| self.io("looking at", path, error))?;
        if !before.is_file() {
            return Err(special());
        }
        let file = directory
            .open_with(name, &options)
            .map_err(|error| self.io("opening", path, error))?;
        let metadata = file
            .metadata()
            .map_err(|error| self.io("looking at", path, error))?;
        if !metadata.is_file() {
            return Err(special());
        }
        if metadata.len() > self.limits.file_bytes_max {
            return Err(self.refused(
                path,
                Problem::Limit {
                    what: "the size of a file in bytes",
                    limit: self.limits.file_bytes_max,
                },
            ));
        }
        Ok(Found::File {
            file,
            size: metadata.len(),
            executable: metadata.mode() & 0o100 != 0,
        })
    }

    fn refused(&self, path: &str, problem: Problem) -> WriteError {
        WriteError::Source {
            path: self.source.directory.join(path),
            problem,
        }
    }

    fn io(&self, action: &'static str, path: &str, source: io::Error) -> WriteError {
        WriteError::Io {
            action,
            path: self.source.directory.join(path),
            source,
        }
    }
}
