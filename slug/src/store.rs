//! Slugs on disk, unpacked: every blob and every layer's tree once, however many slugs share it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};

use crate::{
    archive::{copy_exact, walk},
    digest::{Digest, HashingWriter, SlugDigest},
    error::{Fault, Problem, ReadError},
    file::{LayoutContents, Part, check_blobs},
    image::{BlobInfo, Image, blob_name, manifest_too_large, read_image},
    layer_reader,
    limits::{BUFFER_BYTES, Limits},
    manifest::{FileLayer, SlugManifest},
};

mod disk;
mod staging;

use disk::{StoreLock, TreeMode, set_tree_mode, sync_dir, sync_file_system};
use staging::Staging;

const BLOBS: &str = "blobs/sha256";
const TREES: &str = "trees";
const SLUGS: &str = "slugs";
const STAGING: &str = "staging";

/// A directory of slugs: content-addressed blobs and unpacked file layers.
///
/// ```text
/// blobs/sha256/<hex>   every blob, read-only
/// trees/<hex>/         every file layer, unpacked once, read-only, named by its packed digest
/// slugs/<hex>          an empty file per slug: written last, so what has one is whole
/// staging/             imports under way; what a crash leaves here is swept at the next open
/// lock                 held while something is published or removed
/// ```
///
/// Cloning is cheap. Several processes may use one directory.
#[derive(Clone, Debug)]
pub struct SlugStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    root: Dir,
    limits: Limits,
}

/// A slug in a store, ready to run.
#[derive(Clone, Debug)]
pub struct StoredSlug {
    store: Arc<Inner>,
    image: Arc<Image>,
}

impl StoredSlug {
    /// The slug's digest.
    pub fn digest(&self) -> &SlugDigest {
        &self.image.digest
    }

    /// What the slug holds and how to run it.
    pub fn manifest(&self) -> &SlugManifest {
        &self.image.manifest
    }

    /// Every blob: the OCI manifest, the slug manifest, components, file layers.
    pub fn blobs(&self) -> &[BlobInfo] {
        &self.image.blobs
    }

    /// The file of a component that [`StoredSlug::manifest`] lists.
    pub fn component_path(&self, digest: &Digest) -> PathBuf {
        self.store.path.join(BLOBS).join(digest.hex())
    }

    /// The unpacked, read-only tree of a layer that [`StoredSlug::manifest`] lists.
    ///
    /// Directories have mode 0555, files 0444 or 0555: who copies them for a guest that writes
    /// must make the copies writable.
    pub fn layer_tree(&self, layer: &FileLayer) -> PathBuf {
        self.store.path.join(TREES).join(layer.digest.hex())
    }

    /// Reads every blob again and checks its digest.
    pub fn verify(&self) -> Result<(), ReadError> {
        let label = self.image.digest.to_string();
        self.image
            .blobs
            .iter()
            .try_for_each(|blob| self.store.verify_blob(blob))
            .map_err(|fault| fault.of(&label))
    }
}

impl SlugStore {
    /// Opens the store in `directory`, making it if it is new, within the default limits.
    ///
    /// Removes what an interrupted import left behind.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, ReadError> {
        Self::open_with_limits(directory, Limits::default())
    }

    /// Opens the store in `directory` within `limits`.
    pub fn open_with_limits(
        directory: impl AsRef<Path>,
        limits: Limits,
    ) -> Result<Self, ReadError> {
        let path = directory.as_ref();
        let label = format!("store {}", path.display());
        Inner::open(path, limits)
            .map(|inner| Self {
                inner: Arc::new(inner),
            })
            .map_err(|fault| fault.of(&label))
    }

    /// Takes the slug file at `path` into the store.
    ///
    /// Every digest, size and archive entry is checked while it is read. The slug is whole and on
    /// disk when this returns; after an error or a crash the store is as before. Taking in a slug
    /// that is there already changes nothing.
    pub fn import(&self, path: impl AsRef<Path>) -> Result<StoredSlug, ReadError> {
        let path = path.as_ref();
        let label = path.display().to_string();
        let file =
            File::open(path).map_err(|error| Fault::io("opening the file")(error).of(&label))?;
        self.import_reader(BufReader::with_capacity(BUFFER_BYTES, file), &label)
    }

    /// Takes a slug from a stream; `label` names it in errors.
    pub fn import_reader(&self, reader: impl Read, label: &str) -> Result<StoredSlug, ReadError> {
        let image = self.inner.import(reader).map_err(|fault| fault.of(label))?;
        Ok(self.stored(image))
    }

    /// Looks up a slug: checks its documents' digests and its blobs' sizes, not all their bytes
    /// (that is [`StoredSlug::verify`]). A tree that is not there is unpacked again.
    pub fn get(&self, digest: &SlugDigest) -> Result<StoredSlug, ReadError> {
        if !self.contains(digest) {
            return Err(ReadError::NotFound { digest: *digest });
        }
        let label = digest.to_string();
        let image = self.inner.load(digest).map_err(|fault| fault.of(&label))?;
        self.inner
            .restore_trees(&image)
            .map_err(|fault| fault.of(&label))?;
        Ok(self.stored(image))
    }

    /// Whether the store has this slug.
    pub fn contains(&self, digest: &SlugDigest) -> bool {
        self.inner.root.symlink_metadata(marker(digest)).is_ok()
    }

    /// The slugs in the store, by digest.
    pub fn list(&self) -> Result<Vec<SlugDigest>, ReadError> {
        self.inner.list().map_err(|fault| fault.of(&self.label()))
    }

    /// Removes a slug, with every blob and tree that no other slug uses. Removing one that is not
    /// there is no error.
    ///
    /// Dynos of the slug must have stopped: their files go away.
    pub fn remove(&self, digest: &SlugDigest) -> Result<(), ReadError> {
        self.inner
            .remove(digest)
            .map_err(|fault| fault.of(&self.label()))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn label(&self) -> String {
        format!("store {}", self.inner.path.display())
    }

    fn stored(&self, image: Image) -> StoredSlug {
        StoredSlug {
            store: Arc::clone(&self.inner),
            image: Arc::new(image),
        }
    }
}

fn marker(digest: &SlugDigest) -> String {
    format!("{SLUGS}/{}", digest.hex())
}

fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}

fn tree_path(digest: &Digest) -> String {
    format!("{TREES}/{}", digest.hex())
}

impl Inner {
    fn open(path: &Path, limits: Limits) -> Result<Self, Fault> {
        std::fs::create_dir_all(path).map_err(Fault::io("creating the store"))?;
        let path = path
            .canonicalize()
            .map_err(Fault::io("opening the store"))?;
        let root = Dir::open_ambient_dir(&path, ambient_authority())
            .map_err(Fault::io("opening the store"))?;
        for directory in [BLOBS, TREES, SLUGS, STAGING] {
            root.create_dir_all(directory)
                .map_err(Fault::io(format!("creating {directory}")))?;
        }
        let inner = Self { path, root, limits };
        let lock = StoreLock::take(&inner.root)?;
        Staging::sweep(&inner.root, &lock)?;
        Ok(inner)
    }

    // === import ===

    fn import(&self, reader: impl Read) -> Result<Image, Fault> {
        let staging = Staging::create(&self.root)?;
        let image = self.receive(reader, &staging)?;
        for layer in &image.manifest.layers {
            if self
                .root
                .symlink_metadata(tree_path(&layer.digest))
                .is_err()
            {
                let packed = staging.open_blob(&layer.digest)?;
                staging.unpack(packed, layer, &self.limits)?;
            } else {
                // The tree was checked when it was made; this slug's words about it were not.
                layer_reader::verify(staging.open_blob(&layer.digest)?, layer, &self.limits)?;
            }
        }
        sync_file_system(&self.root)?;
        let lock = StoreLock::take(&self.root)?;
        self.publish(&image, &staging, &lock)?;
        Ok(image)
    }

    /// Reads the whole stream into the staging directory and checks all of it but the layers' insides.
    fn receive(&self, reader: impl Read, staging: &Staging) -> Result<Image, Fault> {
        let limits = &self.limits;
        let mut reader = reader.take(limits.slug_bytes_max.saturating_add(1));
        let mut contents = LayoutContents::default();
        let mut total: u64 = 0;
        walk(&mut reader, limits, &mut |entry| {
            let Part::Blob(digest) = contents.entry(entry, limits)? else {
                return Ok(());
            };
            total = total.saturating_add(entry.size);
            if total > limits.slug_bytes_max {
                return Err(slug_too_large(&entry.path, limits));
            }
            let mut sink = HashingWriter::new(staging.create_blob(&digest)?);
            copy_exact(&entry.path, entry.body, entry.size, &mut sink)?;
            let (file, actual, size) = sink.finish();
            if actual != digest {
                return Err(Fault::refused(
                    &entry.path,
                    Problem::Digest {
                        expected: digest,
                        actual,
                    },
                ));
            }
            file.sync_all()
                .map_err(Fault::io(format!("writing {}", entry.path)))?;
            contents.blobs.insert(digest, (entry.position, size));
            Ok(())
        })
        .map_err(|fault| {
            if total > limits.slug_bytes_max {
                slug_too_large("the slug", limits)
            } else {
                fault
            }
        })?;
        if reader.limit() == 0 {
            return Err(slug_too_large("the slug", limits));
        }
        let (digest, declared) = contents.manifest()?;
        let sizes = contents
            .blobs
            .iter()
            .map(|(digest, (_, size))| (*digest, *size))
            .collect();
        let fetch =
            |digest: &Digest, declared: u64| staging.read_document(digest, declared, limits);
        let manifest = fetch(&digest, declared)?;
        let image = read_image(SlugDigest::new(digest), &manifest, limits, &mut |blob| {
            fetch(&blob.digest, blob.size)
        })?;
        check_blobs(&image, &sizes)?;
        Ok(image)
    }

    /// Moves what the store does not have yet into place, the slug's marker last.
    fn publish(&self, image: &Image, staging: &Staging, lock: &StoreLock) -> Result<(), Fault> {
        for blob in &image.blobs {
            // One that is there with the right size is kept: `get` and `verify` judge it. One with a
            // wrong size is damage, which this good copy repairs.
            let path = blob_path(&blob.digest);
            let there = self.root.symlink_metadata(&path).ok();
            if there.is_none_or(|metadata| !metadata.is_file() || metadata.len() != blob.size) {
                staging.move_blob(&blob.digest, &self.root, &path)?;
            }
        }
        for layer in &image.manifest.layers {
            self.ensure_tree(layer, Some(staging), lock)?;
        }
        for directory in [BLOBS, TREES] {
            sync_dir(&self.root, directory)?;
        }
        self.root
            .open_with(
                marker(&image.digest),
                OpenOptions::new().write(true).create(true),
            )
            .and_then(|file| file.sync_all())
            .map_err(Fault::io("writing the slug's marker"))?;
        sync_dir(&self.root, SLUGS)
    }

    /// Puts a layer's tree in place if it is not there: from the staging directory, or unpacked anew.
    fn ensure_tree(
        &self,
        layer: &FileLayer,
        staging: Option<&Staging>,
        lock: &StoreLock,
    ) -> Result<(), Fault> {
        let _ = lock;
        let place = tree_path(&layer.digest);
        if self.root.symlink_metadata(&place).is_ok() {
            return Ok(());
        }
        match staging {
            Some(staging) if staging.has_tree(&layer.digest) => {
                staging.move_tree(&layer.digest, &self.root, &place)?;
            }
            _ => {
                // It was there when the import looked, and another process removed it since.
                let own = Staging::create_locked(&self.root, lock)?;
                let packed = self.open_blob(&layer.digest)?;
                own.unpack(packed, layer, &self.limits)?;
                sync_file_system(&self.root)?;
                own.move_tree(&layer.digest, &self.root, &place)?;
            }
        }
        set_tree_mode(&self.root, &place, TreeMode::ReadOnly)
    }

    // === look up ===

    fn load(&self, digest: &SlugDigest) -> Result<Image, Fault> {
        let name = blob_name(digest.as_digest());
        let size = self.blob_size(digest.as_digest())?;
        if size > self.limits.manifest_bytes_max {
            return Err(manifest_too_large(&name, &self.limits));
        }
        let manifest = self.read_document(digest.as_digest(), size)?;
        let image = read_image(*digest, &manifest, &self.limits, &mut |blob| {
            self.read_document(&blob.digest, blob.size)
        })?;
        for blob in &image.blobs {
            let actual = self.blob_size(&blob.digest)?;
            if actual != blob.size {
                return Err(Fault::refused(
                    blob_name(&blob.digest),
                    Problem::Size {
                        declared: blob.size,
                        actual,
                    },
                ));
            }
        }
        Ok(image)
    }

    fn restore_trees(&self, image: &Image) -> Result<(), Fault> {
        let missing = |layer: &&FileLayer| {
            self.root
                .symlink_metadata(tree_path(&layer.digest))
                .is_err()
        };
        for layer in image.manifest.layers.iter().filter(missing) {
            let lock = StoreLock::take(&self.root)?;
            self.ensure_tree(layer, None, &lock)?;
            sync_dir(&self.root, TREES)?;
        }
        Ok(())
    }

    fn open_blob(&self, digest: &Digest) -> Result<cap_std::fs::File, Fault> {
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        let name = blob_name(digest);
        match self.root.open_with(blob_path(digest), &options) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Fault::refused(name, Problem::Missing))
            }
            Err(error) => Err(Fault::io(format!("opening {name}"))(error)),
        }
    }

    fn blob_size(&self, digest: &Digest) -> Result<u64, Fault> {
        let file = self.open_blob(digest)?;
        let metadata = file
            .metadata()
            .map_err(Fault::io(format!("looking at {}", blob_name(digest))))?;
        Ok(metadata.len())
    }

    fn read_document(&self, digest: &Digest, declared: u64) -> Result<Vec<u8>, Fault> {
        disk::read_document(self.open_blob(digest)?, digest, declared, &self.limits)
    }

    fn verify_blob(&self, blob: &BlobInfo) -> Result<(), Fault> {
        let name = blob_name(&blob.digest);
        let (actual, size) =
            Digest::of_reader(self.open_blob(&blob.digest)?).map_err(Fault::reading(&*name))?;
        if size != blob.size {
            return Err(Fault::refused(
                name,
                Problem::Size {
                    declared: blob.size,
                    actual: size,
                },
            ));
        }
        if actual != blob.digest {
            return Err(Fault::refused(
                name,
                Problem::Digest {
                    expected: blob.digest,
                    actual,
                },
            ));
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<SlugDigest>, Fault> {
        let digests = self.names(SLUGS)?;
        Ok(digests.into_iter().map(SlugDigest::new).collect())
    }

    /// The digests that name something in `directory`, sorted. Other names are not ours.
    fn names(&self, directory: &str) -> Result<BTreeSet<Digest>, Fault> {
        let listing = || Fault::io(format!("listing {directory}"));
        let mut names = BTreeSet::new();
        for entry in self.root.read_dir(directory).map_err(listing())? {
            let name = entry.map_err(listing())?.file_name();
            names.extend(name.to_str().and_then(|hex| Digest::from_hex(hex).ok()));
        }
        Ok(names)
    }

    // === removal ===

    fn remove(&self, digest: &SlugDigest) -> Result<(), Fault> {
        let lock = StoreLock::take(&self.root)?;
        // What the others use, before anything is gone: when one cannot be read, nothing is known
        // to be free, so nothing is removed.
        let mut used_blobs = BTreeSet::new();
        let mut used_trees = BTreeSet::new();
        for other in self.list()?.iter().filter(|other| *other != digest) {
            let image = self
                .load(other)
                .map_err(|fault| fault.while_removing(other))?;
            used_blobs.extend(image.blobs.iter().map(|blob| blob.digest));
            used_trees.extend(image.manifest.layers.iter().map(|layer| layer.digest));
        }
        match self.root.remove_file(marker(digest)) {
            Ok(()) => sync_dir(&self.root, SLUGS)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Fault::io("removing the slug's marker")(error)),
        }
        for tree in self.names(TREES)?.difference(&used_trees) {
            self.remove_tree(tree, &lock)?;
        }
        for blob in self.names(BLOBS)?.difference(&used_blobs) {
            self.root
                .remove_file(blob_path(blob))
                .map_err(Fault::io(format!("removing {}", blob_name(blob))))?;
        }
        Ok(())
    }

    /// Takes the tree away at one stroke, then deletes it: half a tree is never in its place.
    fn remove_tree(&self, digest: &Digest, lock: &StoreLock) -> Result<(), Fault> {
        let place = tree_path(digest);
        set_tree_mode(&self.root, &place, TreeMode::Movable)?;
        let staging = Staging::create_locked(&self.root, lock)?;
        staging.take_tree(digest, &self.root, &place)?;
        drop(staging);
        Ok(())
    }
}

fn slug_too_large(entry: &str, limits: &Limits) -> Fault {
    Fault::refused(
        entry,
        Problem::Limit {
            what: "the size of the slug in bytes",
            limit: limits.slug_bytes_max,
        },
    )
}

impl Fault {
    /// Says that another slug stands in the way of a removal.
    fn while_removing(self, other: &SlugDigest) -> Self {
        match self {
            Self::Refused { entry, problem } => Self::Refused {
                entry: format!(
                    "{entry} (of slug {other}, which must be removed or imported again first)"
                ),
                problem,
            },
            other @ Self::Io { .. } => other,
        }
    }
}
