//! Keeps compressed layers between builds, so that a shared one is compressed once.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    error::WriteError,
    layer_writer::{PackedLayer, input_digest, pack_to_file},
    limits::{LAYER_CACHE_ENTRIES_MAX, Limits},
    source::FileSource,
};

/// A directory of `<input digest>.layer` files, each with a `.json` that describes it.
///
/// Entries are named by what went in, so they are never stale; they are checked when they are used,
/// so a damaged one is made again. Deleting the directory at any time is safe.
#[derive(Debug)]
pub(crate) struct LayerCache {
    directory: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Description {
    digest: Digest,
    size: u64,
    unpacked_size: u64,
}

impl LayerCache {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Answers a file with the packed layer of `source`, from the cache or freshly made.
    pub(crate) fn pack(
        &self,
        source: &FileSource,
        limits: &Limits,
    ) -> Result<(PathBuf, PackedLayer), WriteError> {
        let io = |action| {
            let path = self.directory.clone();
            move |source| WriteError::Io {
                action,
                path,
                source,
            }
        };
        fs::create_dir_all(&self.directory).map_err(io("creating the layer cache"))?;
        let key = input_digest(source, limits)?.hex();
        let layer = self.directory.join(format!("{key}.layer"));
        let description = self.directory.join(format!("{key}.json"));
        if let Some(packed) = look_up(&layer, &description) {
            return Ok((layer, packed));
        }
        let unique = unique_suffix();
        let partial = self.directory.join(format!("{key}.{unique}.partial"));
        let result = pack_to_file(source, limits, &partial).and_then(|packed| {
            let text = serde_json::to_vec(&Description {
                digest: packed.digest,
                size: packed.size,
                unpacked_size: packed.unpacked_size,
            })
            .map_err(io::Error::other)
            .map_err(io("describing a layer in the cache"))?;
            let described = self.directory.join(format!("{key}.json.{unique}.partial"));
            fs::write(&described, text).map_err(io("writing to the layer cache"))?;
            fs::rename(&partial, &layer).map_err(io("writing to the layer cache"))?;
            fs::rename(&described, &description).map_err(io("writing to the layer cache"))?;
            Ok(packed)
        });
        match result {
            Ok(packed) => {
                self.evict(&layer);
                Ok((layer, packed))
            }
            Err(error) => {
                let _ = fs::remove_file(&partial);
                Err(error)
            }
        }
    }

    /// Removes the least recently used entries over the limit. What cannot be removed stays for later.
    fn evict(&self, keep: &Path) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        let mut layers: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "layer")
                    && path != keep
            })
            .filter_map(|path| {
                Some((
                    fs::metadata(&path)
                        .and_then(|metadata| metadata.modified())
                        .ok()?,
                    path,
                ))
            })
            .collect();
        layers.sort();
        let surplus = (layers.len() + 1).saturating_sub(LAYER_CACHE_ENTRIES_MAX);
        for (_, layer) in layers.into_iter().take(surplus) {
            let _ = fs::remove_file(layer.with_extension("json"));
            let _ = fs::remove_file(layer);
        }
    }
}

/// An entry whose bytes are still those that were put in; marks it as used.
fn look_up(layer: &Path, description: &Path) -> Option<PackedLayer> {
    let described: Description = serde_json::from_slice(&fs::read(description).ok()?).ok()?;
    let file = fs::File::open(layer).ok()?;
    let (digest, size) = Digest::of_reader(&file).ok()?;
    if (digest, size) != (described.digest, described.size) {
        return None;
    }
    let _ = file.set_modified(SystemTime::now());
    Some(PackedLayer {
        digest,
        size,
        unpacked_size: described.unpacked_size,
    })
}

/// A name part that no other writer on this machine uses at this time.
pub(crate) fn unique_suffix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
