//! The control plane's state: keys, revisions, compare-and-set over several keys, ordered watch.
//!
//! The words are etcd's, so that the embedded engine (SQLite, one host) and a cluster's engine can be swapped: one
//! global revision that grows by one per committed transaction, no locks, small values, and a watch that may answer
//! [`WatchError::Compacted`], upon which the reader lists again. An acknowledged transaction is on disk.

mod codec;
pub(crate) mod keys;
mod sqlite;

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;

pub(crate) use codec::{Stored, decode, encode, get, list_all};
pub use sqlite::SqliteStore;

use crate::limits::{STORE_KEY_BYTES_MAX, STORE_TRANSACTION_OPERATIONS_MAX, STORE_VALUE_BYTES_MAX};

/// A point in the store's history; grows by one per committed transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A stored value and the revisions that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value, at most 64 KiB.
    pub value: Bytes,
    /// The transaction that created the key.
    pub created: Revision,
    /// The transaction that last wrote it.
    pub modified: Revision,
}

/// One page of a prefix, in key order, and the revision it shows.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The state they are of.
    pub revision: Revision,
    /// More entries follow the last one.
    pub more: bool,
}

/// What must hold for a transaction to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The key does not exist.
    Absent(String),
    /// The key exists and was last written by this transaction.
    Unchanged(String, Revision),
}

/// What a committed transaction does.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(String, Bytes),
    /// Removes a key; one that does not exist is no error.
    Delete(String),
}

/// Checks and writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub checks: Vec<Check>,
    /// All are done, in order.
    pub writes: Vec<Write>,
}

/// A change that a watcher sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The transaction.
    pub revision: Revision,
    /// The key.
    pub key: String,
    /// The new value; `None` when the key was removed.
    pub value: Option<Bytes>,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another writer was faster: read again and decide again.
    #[error("the key {key} was changed by another writer")]
    Conflict {
        /// The first check that did not hold.
        key: String,
    },
    /// The request is over a limit.
    #[error("the store refuses {what}: {size} is more than {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// How large it is.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The disk is full; nothing was written.
    #[error(
        "the disk of the data directory is full; nothing was changed\n  hint: free some space and try again"
    )]
    DiskFull,
    /// The engine failed; nothing was written, unless the error came while acknowledging.
    #[error("the state store failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value cannot be read.
    #[error("the stored value of {key} is damaged")]
    Damaged {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was closed.
    #[error("the state store is closed")]
    Closed,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// History before this revision is gone: list, then watch from the listing's revision.
    #[error("the history after revision {} is gone; list again", .from.0)]
    Compacted {
        /// Where the watcher was.
        from: Revision,
    },
    /// The store failed or was closed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An ordered stream of changes.
pub trait Watch: Send {
    /// The next changes, never empty, in revision order; waits until there are some.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Event>, WatchError>>;
}

/// The state of the control plane.
pub trait Store: Send + Sync + fmt::Debug {
    /// Reads one key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Reads keys that start with `prefix` and follow `after`, at most 1,000 and at most `entries_max`.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        entries_max: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// Commits durably, or changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the transaction commits.
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Watches keys that start with `prefix`, from the first transaction after `from`.
    fn watch(&self, prefix: &str, from: Revision) -> Box<dyn Watch>;
}

impl Transaction {
    /// Adds a check.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Adds a write.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Refuses what no engine takes.
    pub(crate) fn validate(&self) -> Result<(), StoreError> {
        let too_large = |what: String, size, limit| Err(StoreError::TooLarge { what, size, limit });
        let operations = self.checks.len() + self.writes.len();
        if operations > STORE_TRANSACTION_OPERATIONS_MAX {
            let what = "a transaction's number of operations".to_owned();
            return too_large(what, operations, STORE_TRANSACTION_OPERATIONS_MAX);
        }
        let check_keys = self.checks.iter().map(|check| match check {
            Check::Absent(key) | Check::Unchanged(key, _) => key,
        });
        let write_keys = self.writes.iter().map(|write| match write {
            Write::Put(key, _) | Write::Delete(key) => key,
        });
        for key in check_keys.chain(write_keys) {
            if key.len() > STORE_KEY_BYTES_MAX {
                let what = "a key's length".to_owned();
                return too_large(what, key.len(), STORE_KEY_BYTES_MAX);
            }
        }
        for write in &self.writes {
            if let Write::Put(key, value) = write
                && value.len() > STORE_VALUE_BYTES_MAX
            {
                return too_large(
                    format!("the value of {key}"),
                    value.len(),
                    STORE_VALUE_BYTES_MAX,
                );
            }
        }
        Ok(())
    }
}

impl StoreError {
    /// Reading again and trying again may succeed.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// Values may be secrets, so only their length is shown.
impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete(key) => write!(f, "Delete({key})"),
        }
    }
}
