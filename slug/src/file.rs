//! Looks into a slug file without unpacking it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom, Take},
    path::{Path, PathBuf},
};

use crate::{
    archive::{ArchiveEntry, ArchiveKind, copy_exact, walk_seekable},
    digest::{Digest, SlugDigest},
    error::{Fault, Problem, ReadError},
    image::{
        BLOBS_DIR, BlobInfo, INDEX_FILE, Image, LAYOUT_FILE, blob_name, manifest_too_large,
        read_image, read_layout,
    },
    layer_reader,
    limits::Limits,
    manifest::SlugManifest,
};

/// Where each blob begins in the file, and its size.
type Positions = BTreeMap<Digest, (u64, u64)>;

/// An opened `.slug` file whose documents have been read and checked.
///
/// Opening reads a few kilobytes however large the slug is; [`SlugFile::verify`] reads it all.
#[derive(Debug)]
pub struct SlugFile {
    path: PathBuf,
    positions: Positions,
    image: Image,
    limits: Limits,
}

impl SlugFile {
    /// Opens a slug file within the default limits.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        Self::open_with_limits(path, Limits::default())
    }

    /// Opens a slug file within `limits`.
    pub fn open_with_limits(path: impl AsRef<Path>, limits: Limits) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let label = path.display().to_string();
        let (positions, image) = read(path, &limits).map_err(|fault| fault.of(&label))?;
        Ok(Self {
            path: path.to_owned(),
            positions,
            image,
            limits,
        })
    }

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

    /// Reads one component whole and checks its digest.
    pub fn component(&self, digest: &Digest) -> Result<Vec<u8>, ReadError> {
        let label = self.path.display().to_string();
        let known = self
            .image
            .manifest
            .components
            .iter()
            .find(|component| component.digest == *digest);
        known
            .ok_or_else(|| Fault::refused(blob_name(digest), Problem::Missing))
            .and_then(|_| self.read_blob(digest))
            .map_err(|fault| fault.of(&label))
    }

    /// Reads everything: each digest, and every entry of every file layer.
    pub fn verify(&self) -> Result<(), ReadError> {
        let label = self.path.display().to_string();
        self.verify_blobs().map_err(|fault| fault.of(&label))
    }

    fn verify_blobs(&self) -> Result<(), Fault> {
        for digest in self.positions.keys() {
            let (actual, _) =
                Digest::of_reader(self.body(digest)?).map_err(Fault::reading(blob_name(digest)))?;
            check_digest(digest, actual)?;
        }
        for layer in &self.image.manifest.layers {
            layer_reader::verify(self.body(&layer.digest)?, layer, &self.limits)?;
        }
        Ok(())
    }

    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.body(digest)?
            .read_to_end(&mut bytes)
            .map_err(Fault::reading(blob_name(digest)))?;
        check_digest(digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    fn body(&self, digest: &Digest) -> Result<Take<BufReader<File>>, Fault> {
        body(&self.path, &self.positions, digest)
    }
}

fn read(path: &Path, limits: &Limits) -> Result<(Positions, Image), Fault> {
    let file = File::open(path).map_err(Fault::io("opening the file"))?;
    let length = file
        .metadata()
        .map_err(Fault::io("looking at the file"))?
        .len();
    if length > limits.slug_bytes_max {
        return Err(Fault::refused(
            "the file",
            Problem::Limit {
                what: "its size in bytes",
                limit: limits.slug_bytes_max,
            },
        ));
    }
    let mut contents = LayoutContents::default();
    walk_seekable(BufReader::new(file), limits, &mut |entry| {
        // Bodies are passed over by seeking, which does not notice that the file ends.
        if entry.position.saturating_add(entry.size) > length {
            return Err(Fault::refused(&entry.path, Problem::Truncated));
        }
        match contents.entry(entry, limits)? {
            Part::Done => Ok(()),
            Part::Blob(digest) => {
                contents.blobs.insert(digest, (entry.position, entry.size));
                Ok(())
            }
        }
    })?;
    let (digest, size) = contents.manifest()?;
    let positions = contents.blobs;
    let fetch = |digest: &Digest, declared: u64| {
        let Some((_, actual)) = positions.get(digest) else {
            return Err(Fault::refused(blob_name(digest), Problem::Missing));
        };
        if *actual != declared {
            return Err(Fault::refused(
                blob_name(digest),
                Problem::Size {
                    declared,
                    actual: *actual,
                },
            ));
        }
        if declared > limits.manifest_bytes_max {
            return Err(manifest_too_large(&blob_name(digest), limits));
        }
        let mut bytes = Vec::new();
        body(path, &positions, digest)?
            .read_to_end(&mut bytes)
            .map_err(Fault::reading(blob_name(digest)))?;
        check_digest(digest, Digest::of(&bytes))?;
        Ok(bytes)
    };
    let manifest = fetch(&digest, size)?;
    let image = read_image(SlugDigest::new(digest), &manifest, limits, &mut |blob| {
        fetch(&blob.digest, blob.size)
    })?;
    let sizes = positions
        .iter()
        .map(|(digest, (_, size))| (*digest, *size))
        .collect();
    check_blobs(&image, &sizes)?;
    Ok((positions, image))
}

fn body(
    path: &Path,
    positions: &Positions,
    digest: &Digest,
) -> Result<Take<BufReader<File>>, Fault> {
    let Some((position, size)) = positions.get(digest) else {
        return Err(Fault::refused(blob_name(digest), Problem::Missing));
    };
    let mut file = File::open(path).map_err(Fault::io("opening the file"))?;
    file.seek(SeekFrom::Start(*position))
        .map_err(Fault::io("reading the file"))?;
    Ok(BufReader::new(file).take(*size))
}

fn check_digest(expected: &Digest, actual: Digest) -> Result<(), Fault> {
    if *expected == actual {
        return Ok(());
    }
    Err(Fault::refused(
        blob_name(expected),
        Problem::Digest {
            expected: *expected,
            actual,
        },
    ))
}

/// Checks that exactly the image's blobs are there, each of its size.
pub(crate) fn check_blobs(image: &Image, sizes: &BTreeMap<Digest, u64>) -> Result<(), Fault> {
    for blob in &image.blobs {
        match sizes.get(&blob.digest) {
            None => return Err(Fault::refused(blob_name(&blob.digest), Problem::Missing)),
            Some(actual) if *actual != blob.size => {
                return Err(Fault::refused(
                    blob_name(&blob.digest),
                    Problem::Size {
                        declared: blob.size,
                        actual: *actual,
                    },
                ));
            }
            Some(_) => {}
        }
    }
    for digest in sizes.keys() {
        if !image.blobs.iter().any(|blob| blob.digest == *digest) {
            return Err(Fault::refused(blob_name(digest), Problem::Unexpected));
        }
    }
    Ok(())
}

/// What an OCI layout's archive holds, as it is walked.
#[derive(Debug, Default)]
pub(crate) struct LayoutContents {
    layout: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
    seen: std::collections::BTreeSet<String>,
    /// Where each blob is, or only its size, as the walker wishes.
    pub(crate) blobs: BTreeMap<Digest, (u64, u64)>,
}

/// What an entry of the layout was.
pub(crate) enum Part {
    /// A folder or one of the two small files: dealt with.
    Done,
    /// A blob, whose body the walker deals with.
    Blob(Digest),
}

impl LayoutContents {
    /// Takes one entry: reads the small files, names the blobs, refuses everything else.
    pub(crate) fn entry(
        &mut self,
        entry: &mut ArchiveEntry<'_>,
        limits: &Limits,
    ) -> Result<Part, Fault> {
        let refuse = |problem| Fault::refused(&entry.path, problem);
        if self.seen.len() > limits.blobs_max() + 4 {
            return Err(refuse(Problem::Limit {
                what: "the number of entries in the slug",
                limit: limits.blobs_max() as u64 + 4,
            }));
        }
        if !self.seen.insert(entry.path.clone()) {
            return Err(refuse(Problem::Duplicate));
        }
        match &entry.kind {
            ArchiveKind::Directory if entry.path == "blobs" || entry.path == BLOBS_DIR => {
                return Ok(Part::Done);
            }
            ArchiveKind::File { .. } => {}
            ArchiveKind::Symlink { .. } => {
                return Err(refuse(Problem::Kind("a symbolic link in place of a blob")));
            }
            ArchiveKind::Directory => return Err(refuse(Problem::Unexpected)),
        }
        let document = match entry.path.as_str() {
            LAYOUT_FILE => &mut self.layout,
            INDEX_FILE => &mut self.index,
            path => {
                let digest = path
                    .strip_prefix(BLOBS_DIR)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .and_then(|hex| Digest::from_hex(hex).ok());
                return digest
                    .map(Part::Blob)
                    .ok_or_else(|| refuse(Problem::Unexpected));
            }
        };
        if entry.size > limits.manifest_bytes_max {
            return Err(manifest_too_large(&entry.path, limits));
        }
        let mut bytes = Vec::new();
        copy_exact(&entry.path, entry.body, entry.size, &mut bytes)?;
        *document = Some(bytes);
        Ok(Part::Done)
    }

    /// Which blob is the OCI manifest, and its declared size.
    pub(crate) fn manifest(&self) -> Result<(Digest, u64), Fault> {
        let document = |bytes: &Option<Vec<u8>>, name: &str| {
            bytes
                .clone()
                .ok_or_else(|| Fault::refused(name, Problem::Missing))
        };
        read_layout(
            &document(&self.layout, LAYOUT_FILE)?,
            &document(&self.index, INDEX_FILE)?,
        )
    }
}
