//! The directories of a dyno: a private writable copy of the app's files, a private `/tmp`, shared layers.
//!
//! `/app` is a plain copy, not copy-on-write: an overlay needs a privileged mount or a file system of our own in
//! every guest call, hard links would let one dyno write into another's files, and the copy is made once per
//! dyno start (the kernel shares the blocks where the file system can). Layers beside the app are read-only and
//! shared by all dynos of the host.

use crate::limits::{APP_FILES_MAX, FILE_ENTRIES_MAX, OPEN_FILES_MAX};
use crate::process::Process;
use crate::size::DynoSize;
use dyno_sandbox::{FileLimits, Mount};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
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
    /// Copies the app's files into a new directory under `scratch`. Blocks.
    ///
    /// A bare component has no app: it sees its own mounts, and `/tmp` unless one of them is that.
    pub(crate) fn prepare(scratch: &Path, process: &Process) -> io::Result<Self> {
        let mut files = Self::empty(scratch)?;
        let (app, tmp) = (files.directory.join("app"), files.directory.join("tmp"));
        let tmp = Mount {
            host: tmp,
            guest: "/tmp".into(),
            writable: true,
        };
        let Some(layers) = process.layers() else {
            files.mounts.extend_from_slice(process.extra_mounts());
            if files.mounts.iter().all(|mount| mount.guest != tmp.guest) {
                files.mounts.push(tmp);
            }
            return Ok(files);
        };
        files.mounts.push(Mount {
            host: app.clone(),
            guest: "/app".into(),
            writable: true,
        });
        files.mounts.push(tmp);
        for layer in layers {
            if layer.mount.is_app() {
                copy_tree(&layer.tree, &app, &mut 0)?;
            } else {
                files.mounts.push(Mount {
                    host: layer.tree.clone(),
                    guest: layer.mount.as_str().to_owned(),
                    writable: false,
                });
            }
        }
        Ok(files)
    }

    fn empty(scratch: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let directory = scratch.join(format!(
            "{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(directory.join("app"))?;
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

/// Copies a read-only tree so that the copy is writable. Links were checked when the slug was read.
fn copy_tree(from: &Path, to: &Path, copied: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        *copied += 1;
        if *copied > APP_FILES_MAX {
            return Err(io::Error::other(format!(
                "the app has more than {APP_FILES_MAX} files"
            )));
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&source, &target, copied)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
            let mode = fs::metadata(&source)?.permissions().mode();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode | 0o200))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_writable_and_the_original_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("sub/file"), "one").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o444)).unwrap();
        copy_tree(&from, &to, &mut 0).unwrap();
        fs::write(to.join("sub/file"), "two").unwrap();
        assert_eq!(fs::read_to_string(from.join("sub/file")).unwrap(), "one");
    }

    #[test]
    fn a_dyno_directory_is_removed_with_the_dyno() {
        let scratch = tempfile::tempdir().unwrap();
        let files = DynoFiles::empty(scratch.path()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        drop(files);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
