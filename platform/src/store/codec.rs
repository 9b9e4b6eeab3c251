//! Typed values in and out of the store.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Check, Entry, Revision, Store, StoreError};
use crate::limits::STORE_LIST_ENTRIES_MAX;

/// A value and the revision that wrote it, so that it can be changed only if it is still the same.
#[derive(Clone, Debug)]
pub(crate) struct Stored<T> {
    pub key: String,
    pub value: T,
    pub modified: Revision,
}

impl<T> Stored<T> {
    /// The check that nobody changed the value since it was read.
    pub fn unchanged(&self) -> Check {
        Check::Unchanged(self.key.clone(), self.modified)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| StoreError::Engine(error.into()))
}

pub(crate) fn decode<T: DeserializeOwned>(entry: Entry) -> Result<Stored<T>, StoreError> {
    match serde_json::from_slice(&entry.value) {
        Ok(value) => Ok(Stored {
            key: entry.key,
            value,
            modified: entry.modified,
        }),
        Err(error) => Err(StoreError::Damaged {
            key: entry.key,
            source: error.into(),
        }),
    }
}

pub(crate) async fn get<T: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<Stored<T>>, StoreError> {
    store.get(key).await?.map(decode).transpose()
}

/// Reads a whole prefix, page by page. Pages may show different revisions: use it where that does not matter.
pub(crate) async fn list_all<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
) -> Result<Vec<Stored<T>>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store
            .list(prefix, after.as_deref(), STORE_LIST_ENTRIES_MAX)
            .await?;
        after = page.entries.last().map(|entry| entry.key.clone());
        for entry in page.entries {
            all.push(decode(entry)?);
        }
        if !page.more {
            return Ok(all);
        }
    }
}
