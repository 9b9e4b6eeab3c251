//! The embedded engine: SQLite in WAL mode, synced before a commit is acknowledged.
//!
//! One thread writes and one reads, each with its own connection and a bounded queue: SQLite has one writer anyway,
//! and a blocking disk never stops an async thread. A watcher holds no queue at all: it reads the event table from
//! where it is, woken by the newest revision.

mod connection;
mod schema;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch as latest};

use super::{Entry, Event, Listing, Revision, Store, StoreError, Transaction, Watch, WatchError};
use crate::limits::{STORE_HISTORY_REVISIONS_MAX, STORE_LIST_ENTRIES_MAX, STORE_QUEUE_MAX};

/// The embedded store. Clones share it; the file is closed when the last clone is dropped.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    writes: mpsc::Sender<WriteJob>,
    reads: mpsc::Sender<ReadJob>,
    newest: latest::Receiver<Revision>,
}

struct WriteJob {
    transaction: Transaction,
    answer: oneshot::Sender<Result<Revision, StoreError>>,
}

enum ReadJob {
    Get {
        key: String,
        answer: oneshot::Sender<Result<Option<Entry>, StoreError>>,
    },
    List {
        prefix: String,
        after: Option<String>,
        entries_max: usize,
        answer: oneshot::Sender<Result<Listing, StoreError>>,
    },
    Events {
        prefix: String,
        after: Revision,
        answer: oneshot::Sender<Result<EventPage, WatchError>>,
    },
}

/// Events found after a revision, and how far the search went.
struct EventPage {
    events: Vec<Event>,
    seen: Revision,
}

impl SqliteStore {
    /// Opens the store, creating or migrating the file.
    ///
    /// Blocks on the disk: call it before serving.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_history(path, STORE_HISTORY_REVISIONS_MAX)
    }

    /// Like [`SqliteStore::open`], with a history of `revisions_max` for watchers.
    pub fn open_with_history(path: &Path, revisions_max: u64) -> Result<Self, StoreError> {
        let write_connection = connection::open(path)?;
        let revision = schema::migrate(&write_connection)?;
        let read_connection = connection::open(path)?;
        let (newest_sender, newest) = latest::channel(revision);
        let (writes, write_jobs) = mpsc::channel(STORE_QUEUE_MAX);
        let (reads, read_jobs) = mpsc::channel(STORE_QUEUE_MAX);
        spawn("dyno-store-write", move || {
            write_loop(write_connection, write_jobs, &newest_sender, revisions_max);
        })?;
        spawn("dyno-store-read", move || {
            read_loop(&read_connection, read_jobs);
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                writes,
                reads,
                newest,
            }),
        })
    }

    async fn read<T, E: From<StoreError>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> ReadJob,
    ) -> Result<T, E> {
        let (answer, result) = oneshot::channel();
        self.shared
            .reads
            .send(job(answer))
            .await
            .map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    // The threads end by themselves when the last sender is dropped.
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| StoreError::Engine(error.into()))
}

fn write_loop(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<WriteJob>,
    newest: &latest::Sender<Revision>,
    revisions_max: u64,
) {
    while let Some(job) = jobs.blocking_recv() {
        let result = connection::commit(&mut connection, &job.transaction, revisions_max);
        if let Ok(revision) = &result {
            newest.send_replace(*revision);
        }
        // The caller may have gone; the transaction stands.
        drop(job.answer.send(result));
    }
}

fn read_loop(connection: &Connection, mut jobs: mpsc::Receiver<ReadJob>) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            ReadJob::Get { key, answer } => drop(answer.send(connection::get(connection, &key))),
            ReadJob::List {
                prefix,
                after,
                entries_max,
                answer,
            } => {
                drop(answer.send(connection::list(
                    connection,
                    &prefix,
                    after.as_deref(),
                    entries_max,
                )));
            }
            ReadJob::Events {
                prefix,
                after,
                answer,
            } => {
                drop(answer.send(watch::events_after(connection, &prefix, after)));
            }
        }
    }
}

impl Store for SqliteStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.read(|answer| ReadJob::Get {
            key: key.to_owned(),
            answer,
        })
        .boxed()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        entries_max: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        let entries_max = entries_max.min(STORE_LIST_ENTRIES_MAX);
        let job = move |answer| ReadJob::List {
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            entries_max,
            answer,
        };
        self.read(job).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Revision, StoreError>> {
        async move {
            transaction.validate()?;
            let (answer, result) = oneshot::channel();
            let job = WriteJob {
                transaction,
                answer,
            };
            self.shared
                .writes
                .send(job)
                .await
                .map_err(|_| StoreError::Closed)?;
            result.await.map_err(|_| StoreError::Closed)?
        }
        .boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Box<dyn Watch> {
        Box::new(watch::SqliteWatch::new(
            self.clone(),
            prefix.to_owned(),
            from,
        ))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("newest", &*self.shared.newest.borrow())
            .finish_non_exhaustive()
    }
}
