//! How the store changes the disk: its lock, syncing, and trees that are read-only.

use std::{
    fs::TryLockError,
    io::{self, Read},
};

use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};

use crate::{
    digest::Digest,
    error::{Fault, Problem},
    image::{blob_name, manifest_too_large},
    limits::Limits,
};

/// Held while something is published in the store or removed from it, by one importer of all
/// processes at a time. Released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: std::fs::File,
}

impl StoreLock {
    /// Waits for the lock.
    pub(super) fn take(root: &Dir) -> Result<Self, Fault> {
        let file = lock_file(root, "lock")?;
        file.lock().map_err(Fault::io("locking the store"))?;
        Ok(Self { _file: file })
    }
}

/// Takes the lock of a staging directory, or answers that its owner lives.
pub(super) fn try_lock(directory: &Dir, name: &str) -> Result<Option<std::fs::File>, Fault> {
    let file = lock_file(directory, name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Fault::io("locking a staging directory")(error)),
    }
}

fn lock_file(directory: &Dir, name: &str) -> Result<std::fs::File, Fault> {
    directory
        .open_with(name, OpenOptions::new().read(true).write(true).create(true))
        .map(cap_std::fs::File::into_std)
        .map_err(Fault::io("opening a lock file"))
}

/// Puts a directory's entries on disk.
pub(super) fn sync_dir(root: &Dir, path: &str) -> Result<(), Fault> {
    // The handle of a `Dir` is for looking up only and cannot be synced; an opened one can.
    root.open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(Fault::io(format!("syncing {path}")))
}

/// Puts everything written so far on disk: one call instead of one per file of a large tree.
pub(super) fn sync_file_system(root: &Dir) -> Result<(), Fault> {
    root.open(".")
        .and_then(|directory| rustix::fs::syncfs(&directory).map_err(io::Error::from))
        .map_err(Fault::io("syncing the store"))
}

/// What may be done with a tree's root directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum TreeMode {
    /// In place: nobody writes.
    ReadOnly,
    /// About to be renamed, for which the system asks that it be writable.
    Movable,
}

pub(super) fn set_tree_mode(root: &Dir, place: &str, mode: TreeMode) -> Result<(), Fault> {
    let mode = match mode {
        TreeMode::ReadOnly => 0o555,
        TreeMode::Movable => 0o755,
    };
    root.set_permissions(place, Permissions::from_mode(mode))
        .map_err(Fault::io(format!("changing the mode of {place}")))
}

/// Deletes a directory whose own directories may be read-only. Links are never followed.
pub(super) fn remove_tree(parent: &Dir, name: &str) -> io::Result<()> {
    make_deletable(parent, name)?;
    parent.remove_dir_all(name)
}

fn make_deletable(parent: &Dir, name: &str) -> io::Result<()> {
    parent.set_permissions(name, Permissions::from_mode(0o700))?;
    let directory = parent.open_dir(name)?;
    for entry in directory.entries()? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(name) = entry.file_name().to_str()
        {
            make_deletable(&directory, name)?;
        }
    }
    Ok(())
}

/// Reads a small blob whole and checks its size and digest.
pub(super) fn read_document(
    file: cap_std::fs::File,
    digest: &Digest,
    declared: u64,
    limits: &Limits,
) -> Result<Vec<u8>, Fault> {
    let name = blob_name(digest);
    if declared > limits.manifest_bytes_max {
        return Err(manifest_too_large(&name, limits));
    }
    // The file's own word first, so that the message has the real size and not where reading stopped.
    let length = file
        .metadata()
        .map_err(Fault::io(format!("looking at {name}")))?
        .len();
    let mut bytes = Vec::new();
    file.take(declared.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Fault::reading(&*name))?;
    if length != declared || bytes.len() as u64 != declared {
        return Err(Fault::refused(
            name,
            Problem::Size {
                declared,
                actual: length,
            },
        ));
    }
    let actual = Digest::of(&bytes);
    if actual != *digest {
        return Err(Fault::refused(
            name,
            Problem::Digest {
                expected: *digest,
                actual,
            },
        ));
    }
    Ok(bytes)
}
