//! Native code on disk: compiled once per component and engine, authenticated before it is trusted.
//!
//! Deserialising native code runs whatever is in the file, so a file is mapped only if its keyed tag is right.
//! The key lives beside the cache, readable by the owner alone; a file that was damaged, swapped, or written by
//! another host fails the tag and is compiled again.
//!
//! A tag has two halves. One is of the bytes. The other is of the file (inode, size, times of change) in which
//! this host wrote or last checked those bytes: while it holds, the bytes are not read again, because reading
//! 30 MB costs more than everything else a first request does. Whoever can change a file without changing its
//! time of change is root, and needs no tag.

use crate::compile_store::CompileStoreOptions;
use crate::engine::{EngineKind, Engines, compiling};
use crate::limits;
use crate::nesting;
use crate::working_set;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// The system has no room for another mapping (memory, or `vm.max_map_count`).
    #[error("the compiled component could not be mapped: the system has no room for it")]
    OutOfMemory(#[source] wasmtime::Error),
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
    bytes_max: u64,
}

/// Native code, mapped.
#[derive(Clone, Debug)]
pub struct NativeCode {
    /// What is linked and instantiated.
    pub component: Component,
    /// Length of its file.
    pub bytes: u64,
}

impl CodeCache {
    /// Opens the cache, creating it (mode 0700) and its key (mode 0600) where they are missing.
    ///
    /// `bytes_max` — of all files together; the least recently used go first. [`limits::CODE_CACHE_BYTES_MAX`] is
    /// the usual bound.
    pub fn open(directory: impl Into<PathBuf>, bytes_max: u64) -> Result<Self, CodeCacheError> {
        let directory = directory.into();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| io_error(&directory, source))?;
        let key = read_or_make_key(&directory.join("key"))?;
        Ok(Self {
            directory,
            key,
            bytes_max,
        })
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
    ) -> Result<NativeCode, CodeCacheError> {
        let name = blake3::hash(component).to_hex().to_string();
        if let Some(code) = self.find(engines, kind, &name)? {
            return Ok(code);
        }
        self.compile(engines, kind, &name, component)
    }

    /// Whether something was compiled under `name`. It is neither read nor checked: [`CodeCache::find`] may still
    /// refuse it.
    pub fn contains(&self, engines: &Engines, kind: EngineKind, name: &str) -> bool {
        let path = self.path(engines.get(kind), kind, name);
        tag_path(&path).is_file() && path.is_file()
    }

    /// What was compiled earlier under `name`, if it is there and untouched.
    pub fn find(
        &self,
        engines: &Engines,
        kind: EngineKind,
        name: &str,
    ) -> Result<Option<NativeCode>, CodeCacheError> {
        let engine = engines.get(kind);
        let path = self.path(engine, kind, name);
        let bytes = match self.check(&path, name) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                warn!(
                    "compiled code {} was changed on disk; compiling again",
                    path.display()
                );
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, source)),
        };
        working_set::read_ahead(&path);
        match map(engine, &path) {
            Ok(component) => {
                // Only orders what is evicted first; not worth failing for.
                let _ = File::open(tag_path(&path))
                    .and_then(|file| file.set_modified(SystemTime::now()));
                Ok(Some(NativeCode { component, bytes }))
            }
            // The address space is full: the file is as good as before, and the caller can make room.
            Err(error) if is_out_of_memory(&error) => Err(CodeCacheError::OutOfMemory(error)),
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
    ) -> Result<NativeCode, CodeCacheError> {
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
        match map(engine, &path) {
            Ok(component) => Ok(NativeCode {
                component,
                bytes: native.len() as u64,
            }),
            Err(error) if is_out_of_memory(&error) => Err(CodeCacheError::OutOfMemory(error)),
            Err(error) => Err(CodeCacheError::Compile(error)),
        }
    }

    /// Forgets what was compiled under `name`. Who has it mapped goes on with it.
    pub fn remove(&self, engines: &Engines, kind: EngineKind, name: &str) {
        // What is gone already, or cannot go, is bounded like everything else here.
        let _ = remove_code(&self.path(engines.get(kind), kind, name));
    }

    /// Writes down which pages of `name`'s file this process has touched, for the next time it is mapped from a
    /// disk and not from memory. Does nothing when that was done before. Blocks for milliseconds.
    pub fn record_pages(&self, engines: &Engines, kind: EngineKind, name: &str) {
        let path = self.path(engines.get(kind), kind, name);
        if let Err(error) = working_set::record(&path) {
            tracing::debug!(
                "which pages of {} were touched is not known: {error}",
                path.display()
            );
        }
    }

    fn path(&self, engine: &Engine, kind: EngineKind, name: &str) -> PathBuf {
        let mut hasher = CompatibilityHasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let hash = hasher.0.finalize().to_hex();
        self.directory
            .join(format!("{}-{}", kind.name(), &hash[..16]))
            .join(format!("{name}.native"))
    }

    /// The file's length, or nothing when it is not what this host wrote.
    fn check(&self, path: &Path, name: &str) -> io::Result<Option<u64>> {
        let tag = fs::read(tag_path(path))?;
        let metadata = fs::metadata(path)?;
        let (bytes_tag, file_tag) = tag.split_at(tag.len().min(blake3::OUT_LEN));
        let expected = self.file_tag(name, &metadata);
        if file_tag == expected.as_bytes() {
            return Ok(Some(metadata.len()));
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.as_bytes());
        hasher.update_reader(File::open(path)?)?;
        let found = hasher.finalize();
        if bytes_tag != found.as_bytes() {
            return Ok(None);
        }
        // A restored or copied cache: the bytes are ours, the file is a new one.
        write_tag(path, &found, &expected)?;
        Ok(Some(metadata.len()))
    }

    /// Vouches for a file as this host left it.
    fn file_tag(&self, name: &str, metadata: &Metadata) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"file ");
        hasher.update(name.as_bytes());
        for number in [metadata.dev(), metadata.ino(), metadata.len()] {
            hasher.update(&number.to_le_bytes());
        }
        for time in [
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ] {
            hasher.update(&time.to_le_bytes());
        }
        hasher.finalize()
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
        // Another writer of the same name may be at the same point: then the second half is of the other's file
        // or does not hold, and the bytes decide.
        let file_tag = self.file_tag(name, &fs::metadata(path)?);
        write_tag(path, &hasher.finalize(), &file_tag)
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
                let path = entry.path();
                let extension = path.extension().and_then(|extension| extension.to_str());
                if extension == Some("tmp") && is_abandoned(&metadata) {
                    fs::remove_file(&path).ok();
                    continue;
                }
                total += metadata.len();
                if extension == Some("native") {
                    // Without a tag it is of a writer that was killed, and the first to go.
                    let used = fs::metadata(tag_path(&path))
                        .and_then(|tag| tag.modified())
                        .unwrap_or(SystemTime::UNIX_EPOCH);
                    files.push((used, metadata.len(), path));
                }
            }
        }
        files.sort();
        for (_, size, path) in files {
            if total <= self.bytes_max {
                break;
            }
            remove_code(&path)?;
            total = total.saturating_sub(size);
        }
        Ok(())
    }
}

/// Left by a writer that was killed: nobody takes this long to write a file.
fn is_abandoned(metadata: &Metadata) -> bool {
    metadata
        .modified()
        .ok()
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age > limits::CODE_CACHE_WRITE_MAX)
}

/// The tag goes first: what has no tag is not used.
fn remove_code(path: &Path) -> io::Result<()> {
    fs::remove_file(tag_path(path)).ok();
    fs::remove_file(working_set::path_of(path)).ok();
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the system had no room for another mapping.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
            || cause.to_string().contains("Cannot allocate memory")
    })
}

/// Maps native code that this host wrote and whose tag was just checked.
#[allow(unsafe_code)]
fn map(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by this process's user from `precompile_component`, its directory is
    // writable by that user only, and its keyed tag (made with a key of the same protection) matched.
    unsafe { Component::deserialize_file(engine, path) }
}

fn write_tag(path: &Path, bytes_tag: &blake3::Hash, file_tag: &blake3::Hash) -> io::Result<()> {
    let tag = [*bytes_tag.as_bytes(), *file_tag.as_bytes()].concat();
    write_whole(&tag_path(path), &tag)
}

fn tag_path(path: &Path) -> PathBuf {
    path.with_extension("tag")
}

pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Of its own for each writer: two may write one name at the same time.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
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
mod tests;
