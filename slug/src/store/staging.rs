//! A private directory per import, from which finished parts move into the store.

use std::io::{self, Read};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};

use super::{
    STAGING,
    disk::{StoreLock, read_document, remove_tree, try_lock},
};
use crate::{
    digest::Digest,
    error::{Fault, Problem},
    image::blob_name,
    layer_cache::unique_suffix,
    layer_reader,
    limits::Limits,
    manifest::FileLayer,
};

const OWNER_LOCK: &str = "owner";

/// A directory below `staging/`, removed when dropped; one whose owner died is swept at the next open.
#[derive(Debug)]
pub(super) struct Staging {
    parent: Dir,
    name: String,
    directory: Dir,
    _owner: std::fs::File,
}

impl Staging {
    pub(super) fn create(root: &Dir) -> Result<Self, Fault> {
        let lock = StoreLock::take(root)?;
        Self::create_locked(root, &lock)
    }

    /// Creating and sweeping hold the store's lock: a directory that is not yet its owner's is not swept.
    pub(super) fn create_locked(root: &Dir, _: &StoreLock) -> Result<Self, Fault> {
        let creating = || Fault::io("creating a staging directory");
        let parent = root.open_dir(STAGING).map_err(creating())?;
        loop {
            let name = unique_suffix();
            match parent.create_dir(&name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(creating()(error)),
            }
            let directory = parent.open_dir(&name).map_err(creating())?;
            let Some(owner) = try_lock(&directory, OWNER_LOCK)? else {
                continue;
            };
            return Ok(Self {
                parent,
                name,
                directory,
                _owner: owner,
            });
        }
    }

    /// Removes staging directories whose owners are gone.
    pub(super) fn sweep(root: &Dir, _: &StoreLock) -> Result<(), Fault> {
        let sweeping = || Fault::io("sweeping the staging directory");
        let parent = root.open_dir(STAGING).map_err(sweeping())?;
        for entry in parent.entries().map_err(sweeping())? {
            let entry = entry.map_err(sweeping())?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !entry.file_type().map_err(sweeping())?.is_dir() {
                parent.remove_file(&name).map_err(sweeping())?;
                continue;
            }
            let directory = parent.open_dir(&name).map_err(sweeping())?;
            if let Some(_dead) = try_lock(&directory, OWNER_LOCK)? {
                remove_tree(&parent, &name).map_err(sweeping())?;
            }
        }
        Ok(())
    }

    pub(super) fn create_blob(&self, digest: &Digest) -> Result<File, Fault> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o444);
        self.directory
            .open_with(digest.hex(), &options)
            .map_err(Fault::io(format!("creating {}", blob_name(digest))))
    }

    pub(super) fn open_blob(&self, digest: &Digest) -> Result<File, Fault> {
        match self.directory.open(digest.hex()) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Fault::refused(blob_name(digest), Problem::Missing))
            }
            Err(error) => Err(Fault::io(format!("opening {}", blob_name(digest)))(error)),
        }
    }

    pub(super) fn read_document(
        &self,
        digest: &Digest,
        declared: u64,
        limits: &Limits,
    ) -> Result<Vec<u8>, Fault> {
        read_document(self.open_blob(digest)?, digest, declared, limits)
    }

    pub(super) fn move_blob(&self, digest: &Digest, root: &Dir, place: &str) -> Result<(), Fault> {
        self.directory
            .rename(digest.hex(), root, place)
            .map_err(Fault::io(format!("putting {} in place", blob_name(digest))))
    }

    /// Unpacks a layer here, unless another layer of the slug has the same bytes and did.
    pub(super) fn unpack(
        &self,
        packed: impl Read,
        layer: &FileLayer,
        limits: &Limits,
    ) -> Result<(), Fault> {
        if self.has_tree(&layer.digest) {
            return layer_reader::verify(packed, layer, limits);
        }
        let name = tree_name(&layer.digest);
        let unpacking = || Fault::io(format!("unpacking the layer {}", layer.mount));
        self.directory.create_dir(&name).map_err(unpacking())?;
        let tree = self.directory.open_dir(&name).map_err(unpacking())?;
        layer_reader::unpack(packed, layer, limits, &tree)
    }

    pub(super) fn has_tree(&self, digest: &Digest) -> bool {
        self.directory.symlink_metadata(tree_name(digest)).is_ok()
    }

    pub(super) fn move_tree(&self, digest: &Digest, root: &Dir, place: &str) -> Result<(), Fault> {
        self.directory
            .rename(tree_name(digest), root, place)
            .map_err(Fault::io(format!("putting {place} in place")))
    }

    /// Takes a tree out of the store, to be removed with this directory.
    pub(super) fn take_tree(&self, digest: &Digest, root: &Dir, place: &str) -> Result<(), Fault> {
        root.rename(place, &self.directory, tree_name(digest))
            .map_err(Fault::io(format!("taking {place} away")))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is swept when the store is opened next.
        let _ = remove_tree(&self.parent, &self.name);
    }
}

fn tree_name(digest: &Digest) -> String {
    format!("tree-{}", digest.hex())
}
