//! Native code on disk: compiled once per component and engine, authenticated before it is trusted.
//!
//! Deserialising native code runs whatever is in the file, so a file is mapped only if its keyed tag is right.
//! The key lives beside the cache, readable by the owner alone; a file that was damaged, swapped, or written by
//! another host fails the tag and is compiled again.

use crate::compile_store::CompileStoreOptions;
use crate::engine::{EngineKind, Engines, compiling};
use crate::limits;
use crate::nesting;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;
use tracing::warn;
use wasmtime::Engine;
use wasmtime::component::Component;

/// A component that could not be turned into native code.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodeCacheError {
    /// It is larger than [`limits::COMPONENT_BYTES_MAX`].
    #[error(
        "the component has {bytes} bytes; at most {} are compiled",
        limits::COMPONENT_BYTES_MAX
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Components lie inside it deeper than [`limits::COMPONENT_NESTING_MAX`].
    #[error(
        "the component has components inside components, more than {} deep",
        limits::COMPONENT_NESTING_MAX
    )]
    TooDeep,
    /// It is not a valid component, or uses features that are off.
    #[error("the component could not be compiled")]
    Compile(#[source] wasmtime::Error),
    /// The cache directory could not be read or written.
    #[error("the compiled-code cache {path} could not be used")]
    Io {
        /// What was accessed.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The cache directory and its key.
#[derive(Clone, Debug)]
pub struct CodeCache {
    directory: PathBuf,
    key: [u8; 32],
}

impl CodeCache {
    /// Opens the cache, creating it (mode 0700) and its key (mode 0600) where they are missing.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, CodeCacheError> {
        let directory = directory.into();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| io_error(&directory, source))?;
        let key = read_or_make_key(&directory.join("key"))?;
        Ok(Self { directory, key })
    }

    /// The per-function compile cache beside this one, tagged with the same key.
    pub fn compile_store(&self) -> CompileStoreOptions {
        CompileStoreOptions {
            path: self.directory.join("functions"),
            key: self.key,
        }
    }

    /// A digest keyed by this host's secret: names things that were made from secrets without revealing them.
    pub fn keyed_name(&self, parts: &[&[u8]]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The native form of a component: mapped from the cache, or compiled now. Blocks for seconds when it
    /// compiles, for milliseconds when it maps.
    pub fn load(
        &self,
        engines: &Engines,
        kind: EngineKind,
        component: &[u8],
    ) -> Result<Component, CodeCacheError> {
        let name = blake3::hash(component).to_hex().to_string();
        if let Some(component) = self.find(engines, kind, &name)? {
            return Ok(component);
        }
        self.compile(engines, kind, &name, component)
    }

    /// What was compiled earlier under `name`, if it is there and untouched.
    pub fn find(
        &self,
        engines: &Engines,
        kind: EngineKind,
        name: &str,
    ) -> Result<Option<Component>, CodeCacheError> {
        let engine = engines.get(kind);
        let path = self.path(engine, kind, name);
        let tag = match fs::read(tag_path(&path)) {
            Ok(tag) => tag,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, source)),
        };
        match self.tag(&path, name) {
            Ok(expected) if tag == expected.as_bytes() => {}
            Ok(_) => {
                warn!(
                    "compiled code {} was changed on disk; compiling again",
                    path.display()
                );
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, source)),
        }
        match map(engine, &path) {
            Ok(component) => {
                // Only orders what is evicted first; not worth failing for.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Ok(Some(component))
            }
            Err(error) => {
                warn!(
                    "compiled code {} does not fit this engine; compiling again: {error:#}",
                    path.display()
                );
                Ok(None)
            }
        }
    }

    /// Compiles a component and keeps its native form under `name`.
    pub fn compile(
        &self,
        engines: &Engines,
        kind: EngineKind,
        name: &str,
        component: &[u8],
    ) -> Result<Component, CodeCacheError> {
        let bytes = component.len() as u64;
        if bytes > limits::COMPONENT_BYTES_MAX {
            return Err(CodeCacheError::TooLarge { bytes });
        }
        if !nesting::is_within_bound(component) {
            return Err(CodeCacheError::TooDeep);
        }
        let engine = engines.get(kind);
        let native = compiling(|| engine.precompile_component(component))
            .map_err(CodeCacheError::Compile)?;
        let path = self.path(engine, kind, name);
        self.keep(&path, name, &native)
            .map_err(|source| io_error(&path, source))?;
        map(engine, &path).map_err(CodeCacheError::Compile)
    }

    fn path(&self, engine: &Engine, kind: EngineKind, name: &str) -> PathBuf {
        let mut hasher = CompatibilityHasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let hash = hasher.0.finalize().to_hex();
        self.directory
            .join(format!("{}-{}", kind.name(), &hash[..16]))
            .join(format!("{name}.native"))
    }

    fn tag(&self, path: &Path, name: &str) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.as_bytes());
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize())
    }

    /// Writes code, then its tag, each by rename: a crash leaves either a whole pair or a file that no tag vouches for.
    fn keep(&self, path: &Path, name: &str, native: &[u8]) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.directory);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        self.make_room(native.len() as u64)?;
        write_whole(path, native)?;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.as_bytes());
        hasher.update(native);
        write_whole(&tag_path(path), hasher.finalize().as_bytes())
    }

    /// Drops the least recently used files until `bytes` more fit under the bound. A file that is still mapped
    /// stays usable: unlinking takes only its name.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        let mut total = bytes;
        for directory in fs::read_dir(&self.directory)?.flatten() {
            let Ok(entries) = fs::read_dir(directory.path()) else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                total += metadata.len();
                if entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "native")
                {
                    files.push((
                        metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                        metadata.len(),
                        entry.path(),
                    ));
                }
            }
        }
        files.sort();
        for (_, size, path) in files {
            if total <= limits::CODE_CACHE_BYTES_MAX {
                break;
            }
            fs::remove_file(tag_path(&path)).ok();
            fs::remove_file(&path)?;
            total = total.saturating_sub(size);
        }
        Ok(())
    }
}

/// Maps native code that this host wrote and whose tag was just checked.
#[allow(unsafe_code)]
fn map(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by this process's user from `precompile_component`, its directory is
    // writable by that user only, and its keyed tag (made with a key of the same protection) matched.
    unsafe { Component::deserialize_file(engine, path) }
}

fn tag_path(path: &Path) -> PathBuf {
    path.with_extension("tag")
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        fs::remove_file(&temporary).ok();
    }
    written
}

fn read_or_make_key(path: &Path) -> Result<[u8; 32], CodeCacheError> {
    let mut key = [0; 32];
    match fs::read(path) {
        Ok(bytes) if bytes.len() == key.len() => {
            key.copy_from_slice(&bytes);
            return Ok(key);
        }
        Ok(_) => {} // half-written by a crash: everything under it is compiled again
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(path, source)),
    }
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .map_err(|source| io_error(path, source))?;
    write_whole(path, &key).map_err(|source| io_error(path, source))?;
    Ok(key)
}

fn io_error(path: &Path, source: io::Error) -> CodeCacheError {
    CodeCacheError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Feeds wasmtime's compatibility hash into a digest that is stable between processes.
struct CompatibilityHasher(blake3::Hasher);

impl Hasher for CompatibilityHasher {
    fn finish(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineOptions;

    const COMPONENT: &str =
        r#"(component (core module $m (func (export "f"))) (core instance (instantiate $m)))"#;

    fn cached() -> (tempfile::TempDir, Engines, CodeCache, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let engines = Engines::new(&EngineOptions {
            instance_slots_max: 2,
            ..EngineOptions::default()
        })
        .unwrap();
        let cache = CodeCache::open(directory.path().join("native")).unwrap();
        (
            directory,
            engines,
            cache,
            wat::parse_str(COMPONENT).unwrap(),
        )
    }

    fn only_file(cache: &CodeCache, extension: &str) -> PathBuf {
        fs::read_dir(&cache.directory)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten())
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|found| found == extension))
            .unwrap()
    }

    #[test]
    fn a_component_is_compiled_once_and_then_found() {
        let (_directory, engines, cache, component) = cached();
        let name = blake3::hash(&component).to_hex().to_string();
        assert!(
            cache
                .find(&engines, EngineKind::Sequential, &name)
                .unwrap()
                .is_none()
        );
        cache
            .load(&engines, EngineKind::Sequential, &component)
            .unwrap();
        assert!(
            cache
                .find(&engines, EngineKind::Sequential, &name)
                .unwrap()
                .is_some()
        );
        assert!(
            cache
                .find(&engines, EngineKind::Concurrent, &name)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn changed_code_is_never_mapped_but_compiled_again() {
        let (_directory, engines, cache, component) = cached();
        cache
            .load(&engines, EngineKind::Sequential, &component)
            .unwrap();
        let path = only_file(&cache, "native");
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&path, &bad).unwrap();
        cache
            .load(&engines, EngineKind::Sequential, &component)
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), good);
    }

    #[test]
    fn code_with_a_tag_of_another_host_is_refused() {
        let (_directory, engines, cache, component) = cached();
        cache
            .load(&engines, EngineKind::Sequential, &component)
            .unwrap();
        fs::write(cache.directory.join("key"), [7; 32]).unwrap();
        let stranger = CodeCache::open(&cache.directory).unwrap();
        let name = blake3::hash(&component).to_hex().to_string();
        assert!(
            stranger
                .find(&engines, EngineKind::Sequential, &name)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_truncated_file_is_compiled_again() {
        let (_directory, engines, cache, component) = cached();
        cache
            .load(&engines, EngineKind::Sequential, &component)
            .unwrap();
        let path = only_file(&cache, "native");
        fs::write(&path, b"").unwrap();
        cache
            .load(&engines, EngineKind::Sequential, &component)
            .unwrap();
        assert!(fs::metadata(&path).unwrap().len() > 0);
    }
}
