//! `wasi:keyvalue@0.2.0-draft`: a small store in this host's memory, one per app.
//!
//! It is a cache, not a database: all dynos of an app on this host share it, and it goes with the last of them.

use crate::host::Host;
use crate::limits::{KEYVALUE_BYTES_MAX, KEYVALUE_ENTRY_OVERHEAD_BYTES, KEYVALUE_KEYS_PER_PAGE};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource, ResourceType};

/// The store of one app, at most [`KEYVALUE_BYTES_MAX`] bytes.
#[derive(Default)]
pub struct KeyValue {
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    /// (bucket, key) → value.
    entries: BTreeMap<(String, String), Vec<u8>>,
    bytes: usize,
}

/// A handle of a guest to the entries of one name.
struct Bucket {
    name: String,
    store: Arc<KeyValue>,
}

#[derive(ComponentType, Lower, Debug, PartialEq, Eq)]
#[component(variant)]
#[allow(dead_code, reason = "the guest's type has these cases")]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<u64>,
}

type Guest<'a> = StoreContextMut<'a, Host>;
type Entry = (String, Vec<u8>);
type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut store = linker.instance("wasi:keyvalue/store@0.2.0-draft")?;
    store.resource(
        "bucket",
        ResourceType::host::<Bucket>(),
        |mut guest, handle| {
            let bucket = Resource::<Bucket>::new_own(handle);
            guest.data_mut().table.delete(bucket)?;
            Ok(())
        },
    )?;
    store.func_wrap("open", open)?;
    store.func_wrap("[method]bucket.get", get)?;
    store.func_wrap("[method]bucket.set", set)?;
    store.func_wrap("[method]bucket.delete", delete)?;
    store.func_wrap("[method]bucket.exists", exists)?;
    store.func_wrap("[method]bucket.list-keys", list_keys)?;
    let mut atomics = linker.instance("wasi:keyvalue/atomics@0.2.0-draft")?;
    atomics.func_wrap("increment", increment)?;
    let mut batch = linker.instance("wasi:keyvalue/batch@0.2.0-draft")?;
    batch.func_wrap("get-many", get_many)?;
    batch.func_wrap("set-many", set_many)?;
    batch.func_wrap("delete-many", delete_many)
}

// === the interface ===

fn open(mut guest: Guest<'_>, (name,): (String,)) -> Answer<Resource<Bucket>> {
    let host = guest.data_mut();
    let store = host.spec.keyvalue.clone();
    Ok((Ok(host.table.push(Bucket { name, store })?),))
}

fn get(guest: Guest<'_>, (bucket, key): (Resource<Bucket>, String)) -> Answer<Option<Vec<u8>>> {
    let bucket = guest.data().table.get(&bucket)?;
    Ok((Ok(bucket.store.get(&bucket.name, &key)),))
}

fn set(guest: Guest<'_>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)) -> Answer<()> {
    let bucket = guest.data().table.get(&bucket)?;
    Ok((bucket.store.set(&bucket.name, key, value),))
}

fn delete(guest: Guest<'_>, (bucket, key): (Resource<Bucket>, String)) -> Answer<()> {
    let bucket = guest.data().table.get(&bucket)?;
    bucket.store.delete(&bucket.name, &key);
    Ok((Ok(()),))
}

fn exists(guest: Guest<'_>, (bucket, key): (Resource<Bucket>, String)) -> Answer<bool> {
    let bucket = guest.data().table.get(&bucket)?;
    Ok((Ok(bucket.store.get(&bucket.name, &key).is_some()),))
}

fn list_keys(
    guest: Guest<'_>,
    (bucket, cursor): (Resource<Bucket>, Option<u64>),
) -> Answer<KeyResponse> {
    let bucket = guest.data().table.get(&bucket)?;
    let (keys, cursor) = bucket.store.keys(&bucket.name, cursor.unwrap_or(0));
    Ok((Ok(KeyResponse { keys, cursor }),))
}

fn increment(
    guest: Guest<'_>,
    (bucket, key, delta): (Resource<Bucket>, String, u64),
) -> Answer<u64> {
    let bucket = guest.data().table.get(&bucket)?;
    Ok((bucket.store.increment(&bucket.name, key, delta),))
}

fn get_many(
    guest: Guest<'_>,
    (bucket, keys): (Resource<Bucket>, Vec<String>),
) -> Answer<Vec<Option<Entry>>> {
    let bucket = guest.data().table.get(&bucket)?;
    let mut found = Vec::new();
    let mut bytes = 0;
    for key in keys {
        let value = bucket.store.get(&bucket.name, &key);
        bytes += value.as_ref().map_or(0, Vec::len);
        // One key can be asked for a million times.
        if bytes > KEYVALUE_BYTES_MAX {
            let reason = format!("the values are more than {KEYVALUE_BYTES_MAX} bytes at once");
            return Ok((Err(Error::Other(reason)),));
        }
        found.push(value.map(|value| (key, value)));
    }
    Ok((Ok(found),))
}

fn set_many(guest: Guest<'_>, (bucket, entries): (Resource<Bucket>, Vec<Entry>)) -> Answer<()> {
    let bucket = guest.data().table.get(&bucket)?;
    let mut entries = entries.into_iter();
    Ok((entries.try_for_each(|(key, value)| bucket.store.set(&bucket.name, key, value)),))
}

fn delete_many(guest: Guest<'_>, (bucket, keys): (Resource<Bucket>, Vec<String>)) -> Answer<()> {
    let bucket = guest.data().table.get(&bucket)?;
    for key in keys {
        bucket.store.delete(&bucket.name, &key);
    }
    Ok((Ok(()),))
}

// === the store ===

impl KeyValue {
    fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let contents = self.contents();
        contents.entries.get(&name(bucket, key)).cloned()
    }

    fn set(&self, bucket: &str, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.contents().set(name(bucket, &key), value)
    }

    fn delete(&self, bucket: &str, key: &str) {
        let mut contents = self.contents();
        let name = name(bucket, key);
        if let Some(value) = contents.entries.remove(&name) {
            contents.bytes -= size_of_entry(&name, &value);
        }
    }

    /// A page of keys, and where the next one begins.
    fn keys(&self, bucket: &str, cursor: u64) -> (Vec<String>, Option<u64>) {
        let contents = self.contents();
        let keys: Vec<_> = contents
            .entries
            .range(name(bucket, "")..)
            .take_while(|((one, _), _)| one == bucket)
            .skip(usize::try_from(cursor).unwrap_or(usize::MAX))
            .take(KEYVALUE_KEYS_PER_PAGE + 1)
            .map(|((_, key), _)| key.clone())
            .collect();
        if keys.len() <= KEYVALUE_KEYS_PER_PAGE {
            return (keys, None);
        }
        let page = keys[..KEYVALUE_KEYS_PER_PAGE].to_vec();
        (page, Some(cursor + KEYVALUE_KEYS_PER_PAGE as u64))
    }

    /// Adds to a number that is kept as decimal digits, as wasmtime's own implementation keeps it.
    fn increment(&self, bucket: &str, key: String, delta: u64) -> Result<u64, Error> {
        let mut contents = self.contents();
        let name = name(bucket, &key);
        let before = match contents.entries.get(&name) {
            None => 0,
            Some(value) => std::str::from_utf8(value)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| Error::Other("the value is not a number".into()))?,
        };
        let after = u64::checked_add(before, delta)
            .ok_or_else(|| Error::Other("the number would be over 64 bits".into()))?;
        contents.set(name, after.to_string().into_bytes())?;
        Ok(after)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn set(&mut self, name: (String, String), value: Vec<u8>) -> Result<(), Error> {
        let old = self
            .entries
            .get(&name)
            .map_or(0, |old| size_of_entry(&name, old));
        let bytes = self.bytes - old + size_of_entry(&name, &value);
        if bytes > KEYVALUE_BYTES_MAX {
            let reason = format!("the store is full: it holds at most {KEYVALUE_BYTES_MAX} bytes");
            return Err(Error::Other(reason));
        }
        self.bytes = bytes;
        self.entries.insert(name, value);
        Ok(())
    }
}

fn name(bucket: &str, key: &str) -> (String, String) {
    (bucket.to_owned(), key.to_owned())
}

fn size_of_entry(name: &(String, String), value: &[u8]) -> usize {
    name.0.len() + name.1.len() + value.len() + KEYVALUE_ENTRY_OVERHEAD_BYTES
}

impl fmt::Debug for KeyValue {
    /// Without the entries: they are the app's.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyValue")
            .field("bytes", &self.contents().bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_there_until_it_is_deleted() {
        let store = KeyValue::default();
        store.set("a", "key".into(), b"one".to_vec()).unwrap();
        store.set("b", "key".into(), b"two".to_vec()).unwrap();
        assert_eq!(store.get("a", "key").unwrap(), b"one");
        assert_eq!(store.get("b", "key").unwrap(), b"two");
        assert_eq!(store.get("", "key"), None);
        store.delete("a", "key");
        store.delete("a", "key");
        assert_eq!(store.get("a", "key"), None);
        store.delete("b", "key");
        assert_eq!(store.contents().bytes, 0);
    }

    #[test]
    fn a_full_store_takes_nothing_more_and_keeps_what_it_has() {
        let store = KeyValue::default();
        let overhead = size_of_entry(&name("", "big"), b"");
        let value = vec![0; KEYVALUE_BYTES_MAX - overhead];
        store.set("", "big".into(), value).unwrap();
        let full = store.set("", "more".into(), Vec::new()).unwrap_err();
        assert!(matches!(full, Error::Other(reason) if reason.contains("full")));
        assert_eq!(store.get("", "more"), None);
        // Another value in its place needs no more room.
        store.set("", "big".into(), vec![1; 10]).unwrap();
        store.set("", "more".into(), Vec::new()).unwrap();
    }

    #[test]
    fn keys_come_in_pages_of_one_bucket() {
        let store = KeyValue::default();
        for number in 0..KEYVALUE_KEYS_PER_PAGE + 5 {
            store.set("a", format!("{number:08}"), Vec::new()).unwrap();
        }
        store.set("b", "other".into(), Vec::new()).unwrap();
        let (first, cursor) = store.keys("a", 0);
        assert_eq!(first.len(), KEYVALUE_KEYS_PER_PAGE);
        let (last, cursor) = store.keys("a", cursor.unwrap());
        assert_eq!((last.len(), cursor), (5, None));
        assert_eq!(store.keys("a", u64::MAX).0, Vec::<String>::new());
        assert_eq!(store.keys("b", 0).0, ["other"]);
    }

    #[test]
    fn a_number_is_counted_up() {
        let store = KeyValue::default();
        assert_eq!(store.increment("", "hits".into(), 2), Ok(2));
        assert_eq!(store.increment("", "hits".into(), 3), Ok(5));
        assert_eq!(store.get("", "hits").unwrap(), b"5");
        assert!(store.increment("", "hits".into(), u64::MAX).is_err());
        store.set("", "text".into(), b"abc".to_vec()).unwrap();
        assert!(store.increment("", "text".into(), 1).is_err());
        assert_eq!(store.get("", "hits").unwrap(), b"5");
    }
}
