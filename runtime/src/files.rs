//! The directories of a dyno: the app's files, which it may change for itself, a private `/tmp`, shared layers.
//!
//! `/app` is the slug's own tree until the dyno's first change in it, and a private copy from then on: waking a dyno
//! copies nothing, and most apps never write there. Layers beside the app are read-only and shared by all dynos.

use crate::limits::{APP_FILES_MAX, FILE_ENTRIES_MAX, OPEN_FILES_MAX};
use crate::process::Process;
use crate::size::DynoSize;
use dyno_sandbox::{FileLimits, Mount, MountedTree, SharedTree, copy_tree};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The files of one dyno; removed with it.
#[derive(Debug)]
pub(crate) struct DynoFiles {
    directory: PathBuf,
    mounts: Vec<Mount>,
}

/// What a dyno of a size may write: as many bytes as its memory quota, against which they count.
pub(crate) fn limits_of(size: DynoSize) -> FileLimits {
    FileLimits {
        bytes_max: size.memory_bytes_max,
        entries_max: FILE_ENTRIES_MAX,
        open_max: OPEN_FILES_MAX,
    }
}

impl DynoFiles {
    /// Makes a new directory under `scratch`. Blocks.
    ///
    /// A bare component has no app: it sees its own mounts, and `/tmp` unless one of them is that.
    pub(crate) fn prepare(scratch: &Path, process: &Process) -> io::Result<Self> {
        let mut files = Self::empty(scratch)?;
        let (app, tmp) = (files.directory.join("app"), files.directory.join("tmp"));
        let tmp = Mount {
            host: MountedTree::Writable(tmp),
            guest: "/tmp".into(),
        };
        let Some(layers) = process.layers() else {
            files.mounts.extend_from_slice(process.extra_mounts());
            if files.mounts.iter().all(|mount| mount.guest != tmp.guest) {
                files.mounts.push(tmp);
            }
            return Ok(files);
        };
        let (of_app, others): (Vec<_>, Vec<_>) =
            layers.iter().partition(|layer| layer.mount.is_app());
        let host = match &*of_app {
            [layer] => MountedTree::Shared(SharedTree::new(&layer.tree, app, APP_FILES_MAX)?),
            layers => {
                fs::create_dir(&app)?;
                let mut left = APP_FILES_MAX;
                for layer in layers {
                    left = copy_tree(&layer.tree, &app, left)?;
                }
                MountedTree::Writable(app)
            }
        };
        files.mounts.push(Mount {
            host,
            guest: "/app".into(),
        });
        files.mounts.push(tmp);
        files.mounts.extend(others.iter().map(|layer| Mount {
            host: MountedTree::ReadOnly(layer.tree.clone()),
            guest: layer.mount.as_str().to_owned(),
        }));
        Ok(files)
    }

    fn empty(scratch: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let directory = scratch.join(format!(
            "{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(directory.join("tmp"))?;
        Ok(Self {
            directory,
            mounts: Vec::new(),
        })
    }

    /// What the guest sees, in the fixed order that heap snapshots rely on: `/app`, `/tmp`, then the layers.
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }
}

impl Drop for DynoFiles {
    fn drop(&mut self) {
        // Off this thread: an app may have written a hundred thousand files, and a guest's end must not wait.
        let directory = std::mem::take(&mut self.directory);
        let removal = move || remove_tree(&directory);
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => {
                handle.spawn_blocking(removal);
            }
            Err(_) => removal(),
        }
    }
}

fn remove_tree(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(
            "the files of a stopped dyno in {} could not be removed: {error}",
            directory.display()
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_directory_is_removed_with_the_dyno() {
        let scratch = tempfile::tempdir().unwrap();
        let files = DynoFiles::empty(scratch.path()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        drop(files);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
