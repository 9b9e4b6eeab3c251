//! The components that are mapped: those in use, and the most recently used of the others.
//!
//! A mapped component is not "free, evictable file pages": an interpreter holds 0.6 to 1.7 MB of decoded metadata and
//! three of the kernel's memory maps. So the unused ones are bounded by both, and the least recently used go first.

use crate::error::LoadError;
use crate::limits::{MAPPED_BYTES_MAX, MAPPED_BYTES_MIN};
use dyno_sandbox::{CodeCacheError, EngineKind, Guest, Handler};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is mapped: a name in the code cache, and what it is linked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GuestKey {
    pub(crate) name: Box<str>,
    pub(crate) kind: EngineKind,
    pub(crate) handler: Handler,
}

/// The bounds, and what lies within them.
#[derive(Debug)]
pub(crate) struct Mapped {
    components_max: usize,
    bytes_max: u64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    places: HashMap<GuestKey, Arc<Place>>,
    /// Counts uses, so that the order of uses is known without a clock.
    turn: u64,
}

/// A component's place; locked while it is mapped, so that all who want it at once map it once.
#[derive(Debug, Default)]
struct Place(Mutex<Option<Entry>>);

#[derive(Debug)]
struct Entry {
    guest: Arc<Guest>,
    bytes: u64,
    used: u64,
}

/// What mapping gives: the guest, and the length of its file.
pub(crate) type Fresh = (Guest, u64);

impl Mapped {
    /// `components_max` — what the kernel's limit on memory maps leaves room for.
    pub(crate) fn new(components_max: usize) -> Self {
        Self {
            components_max: components_max.max(1),
            bytes_max: MAPPED_BYTES_MAX,
            table: Mutex::default(),
        }
    }

    /// The component, mapped by `map` unless it is already. Blocks, and so do others who want the same one; when
    /// the system has no room for another mapping, the unused ones go and `map` is called once more.
    pub(crate) fn get(
        &self,
        key: &GuestKey,
        map: impl Fn() -> Result<Fresh, LoadError>,
    ) -> Result<Arc<Guest>, LoadError> {
        let (place, turn) = self.place(key);
        let mut entry = place.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = &mut *entry {
            entry.used = turn;
            return Ok(entry.guest.clone());
        }
        let mapped = match map() {
            Err(error) if is_out_of_memory(&error) && self.evict_unused() > 0 => map(),
            result => result,
        };
        let (guest, file_bytes) = match mapped {
            Ok(fresh) => fresh,
            Err(error) => {
                drop(entry);
                self.forget_empty(key, &place);
                return Err(error);
            }
        };
        let guest = Arc::new(guest);
        *entry = Some(Entry {
            guest: guest.clone(),
            bytes: held_by(file_bytes),
            used: turn,
        });
        drop(entry);
        self.evict_to(self.components_max, self.bytes_max);
        Ok(guest)
    }

    /// How many are mapped, and about how many bytes of memory they hold.
    pub(crate) fn held(&self) -> (usize, u64) {
        let entries = self.entries();
        (
            entries.len(),
            entries.iter().map(|(_, _, bytes, _)| bytes).sum(),
        )
    }

    /// Drops what nobody uses, all of it; answers how many there were.
    pub(crate) fn evict_unused(&self) -> usize {
        self.evict_to(0, 0)
    }

    /// Drops what nobody uses, the least recently used first, until the rest fits.
    fn evict_to(&self, components_max: usize, bytes_max: u64) -> usize {
        let mut entries = self.entries();
        let mut components = entries.len();
        let mut bytes: u64 = entries.iter().map(|(_, _, bytes, _)| bytes).sum();
        if components <= components_max && bytes <= bytes_max {
            return 0;
        }
        entries.sort_by_key(|(_, used, _, _)| *used);
        let mut evicted = 0;
        for (key, _, size, place) in entries {
            if components <= components_max && bytes <= bytes_max {
                break;
            }
            if self.evict(&key, &place) {
                (components, bytes, evicted) = (components - 1, bytes - size, evicted + 1);
            }
        }
        evicted
    }

    /// Takes one out, unless somebody uses it.
    fn evict(&self, key: &GuestKey, place: &Arc<Place>) -> bool {
        let Ok(mut entry) = place.0.try_lock() else {
            return false; // Being mapped or asked for right now.
        };
        // One handle is this table's own.
        let unused = entry
            .as_ref()
            .is_some_and(|entry| Arc::strong_count(&entry.guest) == 1);
        if !unused {
            return false;
        }
        let gone = entry.take();
        drop(entry);
        self.forget_empty(key, place);
        drop(gone);
        true
    }

    /// Removes a place that holds nothing, unless somebody is about to fill it.
    fn forget_empty(&self, key: &GuestKey, place: &Arc<Place>) {
        let mut table = self.table();
        // Two handles: the table's and the caller's.
        if Arc::strong_count(place) <= 2
            && table.places.get(key).is_some_and(|p| Arc::ptr_eq(p, place))
        {
            table.places.remove(key);
        }
    }

    fn place(&self, key: &GuestKey) -> (Arc<Place>, u64) {
        let mut table = self.table();
        table.turn += 1;
        let turn = table.turn;
        if let Some(place) = table.places.get(key) {
            return (place.clone(), turn);
        }
        let place = Arc::new(Place::default());
        table.places.insert(key.clone(), place.clone());
        (place, turn)
    }

    /// What is mapped now: key, last use, bytes. What is being mapped is left out.
    fn entries(&self) -> Vec<(GuestKey, u64, u64, Arc<Place>)> {
        let table = self.table();
        let entry_of = |(key, place): (&GuestKey, &Arc<Place>)| {
            let entry = place.0.try_lock().ok()?;
            let entry = entry.as_ref()?;
            Some((key.clone(), entry.used, entry.bytes, place.clone()))
        };
        table.places.iter().filter_map(entry_of).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a mapped component holds beside its file's pages: its decoded metadata, about a twentieth of the file.
fn held_by(file_bytes: u64) -> u64 {
    MAPPED_BYTES_MIN + file_bytes / 20
}

fn is_out_of_memory(error: &LoadError) -> bool {
    matches!(error, LoadError::Code(CodeCacheError::OutOfMemory(_)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use dyno_sandbox::{CodeCache, EngineOptions, Engines};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Rig {
        _directory: tempfile::TempDir,
        engines: Engines,
        cache: CodeCache,
        mapped: Mapped,
        calls: AtomicUsize,
    }

    impl Rig {
        fn new(components_max: usize) -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self {
                engines: Engines::new(&EngineOptions {
                    instance_slots_max: 2,
                    ..EngineOptions::default()
                })
                .unwrap(),
                cache: CodeCache::open(directory.path().join("native"), 1 << 30).unwrap(),
                _directory: directory,
                mapped: Mapped::new(components_max),
                calls: AtomicUsize::new(0),
            }
        }

        fn key(number: usize) -> GuestKey {
            GuestKey {
                name: format!("component-{number}").into(),
                kind: EngineKind::Sequential,
                handler: Handler::Http,
            }
        }

        fn map(&self) -> Result<Fresh, LoadError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let text = include_str!("../../tests/guests/hello.wat");
            let kind = EngineKind::Sequential;
            let code = self
                .cache
                .load(&self.engines, kind, &wat::parse_str(text).unwrap())?;
            let guest = Guest::link(&self.engines, kind, code.component, Handler::Http)?;
            Ok((guest, code.bytes))
        }

        fn get(&self, number: usize) -> Arc<Guest> {
            self.mapped.get(&Self::key(number), || self.map()).unwrap()
        }
    }

    #[test]
    fn all_who_want_a_component_at_once_map_it_once() {
        let rig = Rig::new(10);
        let guests: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| rig.get(1))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(rig.calls.load(Ordering::Relaxed), 1);
        assert!(guests.iter().all(|guest| Arc::ptr_eq(guest, &guests[0])));
    }

    #[test]
    fn the_least_recently_used_unused_component_goes_at_the_bound() {
        let rig = Rig::new(3);
        let used = rig.get(0);
        for number in [1, 2, 1, 3] {
            rig.get(number);
        }
        // 0 is in use, and 1 was used after 2.
        assert_eq!(rig.mapped.held().0, 3);
        let calls = rig.calls.load(Ordering::Relaxed);
        for number in [0, 1, 3] {
            rig.get(number);
        }
        assert_eq!(rig.calls.load(Ordering::Relaxed), calls);
        rig.get(2);
        assert_eq!(rig.calls.load(Ordering::Relaxed), calls + 1);
        drop(used);
        assert_eq!(rig.mapped.evict_unused(), 3);
        assert_eq!(rig.mapped.held(), (0, 0));
        assert!(rig.mapped.table().places.is_empty());
    }

    #[test]
    fn the_bytes_are_a_bound_of_their_own() {
        let mut rig = Rig::new(100);
        rig.get(0);
        let one = rig.mapped.held().1;
        rig.mapped.bytes_max = one * 2;
        for number in 1..5 {
            rig.get(number);
        }
        assert_eq!(rig.mapped.held(), (2, one * 2));
    }

    #[test]
    fn a_full_address_space_evicts_and_tries_again() {
        let rig = Rig::new(100);
        for number in 0..3 {
            rig.get(number);
        }
        let full = || {
            LoadError::Code(CodeCacheError::OutOfMemory(
                std::io::Error::other("full").into(),
            ))
        };
        let guest = rig.mapped.get(&Rig::key(9), || {
            if rig.mapped.held().0 > 0 {
                return Err(full());
            }
            rig.map()
        });
        assert!(guest.is_ok());
        assert_eq!(rig.mapped.held().0, 1);
        // Nothing is left to evict: the error is handed up, and no place stays behind.
        let error = rig.mapped.get(&Rig::key(10), || Err(full())).unwrap_err();
        assert!(error.to_string().contains("no room"), "{error}");
        let error = rig.mapped.get(&Rig::key(10), || Err(full())).unwrap_err();
        assert!(error.to_string().contains("no room"), "{error}");
        assert_eq!(rig.mapped.table().places.len(), 1);
        drop(guest);
    }
}
