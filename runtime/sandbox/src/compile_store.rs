//! Compiled functions on disk, so that the second app in a language does not compile the language again.
//!
//! One append-only file of tagged entries with an index in memory. It is a cache: nothing is synced, an entry
//! that does not carry its keyed tag is a miss, and at the bound the older half of the entries is dropped by
//! starting a new file and forgetting the one before the last.

use crate::limits::COMPILE_STORE_BYTES_MAX;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tracing::warn;
use wasmtime::CacheStore;

/// Where the functions are kept, and the key of their tags.
#[derive(Clone)]
pub struct CompileStoreOptions {
    /// The newer of the two files; the older has `.old` appended.
    pub path: PathBuf,
    /// This host's secret.
    pub key: [u8; 32],
}

impl std::fmt::Debug for CompileStoreOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CompileStoreOptions")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Functions since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileCounts {
    /// Found compiled.
    pub found: u64,
    /// Compiled.
    pub compiled: u64,
}

type Id = [u8; 32];
const ENTRY_HEAD: usize = 32 + 32 + 4;
const VALUE_BYTES_MAX: u32 = 64 << 20;

/// The store that wasmtime's compiler asks before it compiles a function.
#[derive(Debug)]
pub(crate) struct CompileStore {
    options: CompileStoreOptions,
    bytes_max: u64,
    generations: Mutex<Generations>,
    found: AtomicU64,
    compiled: AtomicU64,
}

#[derive(Debug, Default)]
struct Generations {
    newer: Option<Generation>,
    older: Option<Generation>,
}

#[derive(Debug)]
struct Generation {
    file: File,
    length: u64,
    index: HashMap<Id, (u64, u32)>,
}

impl CompileStore {
    /// Opens the store; one that cannot be read starts empty.
    pub(crate) fn open(options: CompileStoreOptions) -> Self {
        Self::with_bound(options, COMPILE_STORE_BYTES_MAX)
    }

    fn with_bound(options: CompileStoreOptions, bytes_max: u64) -> Self {
        let generations = Generations {
            newer: read_or_start(&options.path),
            older: Generation::read(&older_path(&options.path)).ok(),
        };
        Self {
            options,
            bytes_max,
            generations: Mutex::new(generations),
            found: AtomicU64::new(0),
            compiled: AtomicU64::new(0),
        }
    }

    pub(crate) fn counts(&self) -> CompileCounts {
        CompileCounts {
            found: self.found.load(Ordering::Relaxed),
            compiled: self.compiled.load(Ordering::Relaxed),
        }
    }

    fn tag(&self, id: &Id, value: &[u8]) -> Id {
        let mut hasher = blake3::Hasher::new_keyed(&self.options.key);
        hasher.update(id);
        hasher.update(value);
        *hasher.finalize().as_bytes()
    }

    fn append(&self, id: Id, value: &[u8]) -> io::Result<()> {
        let tag = self.tag(&id, value);
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if generations
            .newer
            .as_ref()
            .is_some_and(|newer| newer.length > self.bytes_max / 2)
        {
            fs::rename(&self.options.path, older_path(&self.options.path))?;
            generations.older = generations.newer.take();
        }
        if generations.newer.is_none() {
            generations.newer = Some(Generation::start(&self.options.path)?);
        }
        match &mut generations.newer {
            Some(newer) => newer.append(id, &tag, value),
            None => Ok(()),
        }
    }
}

impl CacheStore for CompileStore {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let id = *blake3::hash(key).as_bytes();
        let (tag, value) = {
            let generations = self
                .generations
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            [&generations.newer, &generations.older]
                .into_iter()
                .flatten()
                .find_map(|generation| generation.get(&id))?
        };
        if self.tag(&id, &value) != tag {
            return None;
        }
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(Cow::Owned(value))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        self.append(*blake3::hash(key).as_bytes(), &value).is_ok()
    }
}

impl Generation {
    fn start(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file,
            length: 0,
            index: HashMap::new(),
        })
    }

    /// Reads the index of a file, up to the first entry that is not whole.
    fn read(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let mut reader = BufReader::new(file.try_clone()?);
        let mut index = HashMap::new();
        let mut length = 0;
        let mut head = [0; ENTRY_HEAD];
        while reader.read_exact(&mut head).is_ok() {
            let (id, value_length) = parse_head(&head);
            let end = length + ENTRY_HEAD as u64 + u64::from(value_length);
            if value_length > VALUE_BYTES_MAX || end > size {
                break;
            }
            index.insert(id, (length, value_length));
            reader.seek_relative(i64::from(value_length))?;
            length = end;
        }
        Ok(Self {
            file,
            length,
            index,
        })
    }

    fn append(&mut self, id: Id, tag: &Id, value: &[u8]) -> io::Result<()> {
        let value_length = u32::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if value_length > VALUE_BYTES_MAX {
            return Ok(());
        }
        let mut entry = Vec::with_capacity(ENTRY_HEAD + value.len());
        entry.write_all(&id)?;
        entry.write_all(tag)?;
        entry.write_all(&value_length.to_le_bytes())?;
        entry.write_all(value)?;
        self.file.write_all_at(&entry, self.length)?;
        self.index.insert(id, (self.length, value_length));
        self.length += entry.len() as u64;
        Ok(())
    }

    fn get(&self, id: &Id) -> Option<(Id, Vec<u8>)> {
        let (offset, length) = *self.index.get(id)?;
        let mut entry = vec![0; ENTRY_HEAD + length as usize];
        self.file.read_exact_at(&mut entry, offset).ok()?;
        let mut tag = [0; 32];
        tag.copy_from_slice(&entry[32..64]);
        entry.drain(..ENTRY_HEAD);
        Some((tag, entry))
    }
}

fn parse_head(head: &[u8; ENTRY_HEAD]) -> (Id, u32) {
    let mut id = [0; 32];
    id.copy_from_slice(&head[..32]);
    let mut length = [0; 4];
    length.copy_from_slice(&head[64..]);
    (id, u32::from_le_bytes(length))
}

fn read_or_start(path: &Path) -> Option<Generation> {
    match Generation::read(path) {
        Ok(generation) => Some(generation),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!(
                "compile cache {} is not readable and starts empty: {error}",
                path.display()
            );
            None
        }
    }
}

fn older_path(path: &Path) -> PathBuf {
    path.with_extension("old")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directory: &tempfile::TempDir) -> CompileStoreOptions {
        CompileStoreOptions {
            path: directory.path().join("functions"),
            key: [1; 32],
        }
    }

    #[test]
    fn what_was_inserted_is_found_again_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let store = CompileStore::open(options(&directory));
        assert!(store.insert(b"a", vec![1, 2, 3]));
        assert!(store.insert(b"b", vec![4]));
        drop(store);
        let store = CompileStore::open(options(&directory));
        assert_eq!(store.get(b"a").as_deref(), Some(&[1, 2, 3][..]));
        assert_eq!(store.get(b"b").as_deref(), Some(&[4][..]));
        assert_eq!(store.get(b"c"), None);
    }

    #[test]
    fn a_changed_entry_and_a_torn_end_are_misses() {
        let directory = tempfile::tempdir().unwrap();
        let store = CompileStore::open(options(&directory));
        store.insert(b"a", vec![1, 2, 3]);
        store.insert(b"b", vec![4, 5, 6]);
        drop(store);
        let path = directory.path().join("functions");
        let mut bytes = fs::read(&path).unwrap();
        bytes[ENTRY_HEAD] ^= 1;
        bytes.truncate(bytes.len() - 1);
        fs::write(&path, bytes).unwrap();
        let store = CompileStore::open(options(&directory));
        assert_eq!(store.get(b"a"), None);
        assert_eq!(store.get(b"b"), None);
        assert!(store.insert(b"b", vec![7]));
        assert_eq!(store.get(b"b").as_deref(), Some(&[7][..]));
    }

    #[test]
    fn two_writers_of_one_file_may_lose_entries_and_never_mix_them_up() {
        let directory = tempfile::tempdir().unwrap();
        let stores = [(); 2].map(|()| CompileStore::open(options(&directory)));
        for n in 0..100_u32 {
            for (store, filler) in stores.iter().zip([1_u8, 2]) {
                let value = vec![filler; 10 + n as usize % 7];
                store.insert(&[filler, n.try_into().unwrap()], value);
            }
        }
        let reopened = CompileStore::open(options(&directory));
        for store in stores.iter().chain([&reopened]) {
            for n in 0..100_u8 {
                for filler in [1_u8, 2] {
                    if let Some(found) = store.get(&[filler, n]) {
                        assert_eq!(*found, vec![filler; 10 + n as usize % 7]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_second_app_of_a_language_compiles_only_what_is_its_own() {
        use crate::engine::{EngineKind, EngineOptions, Engines};
        // A language: twenty functions that every app has. An app: its data, and a function of its own.
        let app = |data: &str, own: u32| {
            let function = |n: u32| {
                format!(
                    "(func (export \"f{n}\") (param i32) (result i32) local.get 0 i32.const {n} i32.add)"
                )
            };
            let language = (0..20).map(function).collect::<Vec<_>>().join(" ");
            wat::parse_str(format!(
                r#"(component (core module $m (memory 1) (data (i32.const 0) "{data}") {language}
                    (func (export "own") (param i32) (result i32) local.get 0 i32.const {own} i32.mul))
                  (core instance (instantiate $m)))"#
            ))
            .unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let engines = Engines::new(&EngineOptions {
            instance_slots_max: 2,
            compile_store: Some(options(&directory)),
            ..EngineOptions::default()
        })
        .unwrap();
        let engine = engines.get(EngineKind::Sequential);
        engine.precompile_component(&app("one", 7)).unwrap();
        let first = engines.compile_counts();
        assert!(first.compiled >= 21, "{first:?}");
        engine
            .precompile_component(&app("two, longer", 11))
            .unwrap();
        let second = engines.compile_counts();
        assert!(second.found - first.found >= 20, "{first:?} {second:?}");
        assert!(
            // Its own function and the ways into it; two threads may compile the same one at once.
            (second.compiled - first.compiled) * 3 < first.compiled,
            "{first:?} {second:?}"
        );
    }

    #[test]
    fn the_store_never_outgrows_its_bound_by_more_than_an_entry() {
        let directory = tempfile::tempdir().unwrap();
        let bound = 20_000;
        let store = CompileStore::with_bound(options(&directory), bound);
        for n in 0..200_u32 {
            assert!(store.insert(&n.to_le_bytes(), vec![0; 1000]));
        }
        let total: u64 = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(total <= bound + 2 * 1100, "{total} bytes");
        assert!(store.get(&199_u32.to_le_bytes()).is_some());
        assert!(store.get(&0_u32.to_le_bytes()).is_none());
    }
}
