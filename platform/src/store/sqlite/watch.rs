//! Reading the history in order, from where a watcher is.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::Connection;
use tokio::sync::watch as latest;

use super::super::{Event, Revision, StoreError, Watch, WatchError};
use super::connection::{engine_error, prefix_end};
use super::{EventPage, ReadJob, SqliteStore};
use crate::limits::STORE_WATCH_BATCH_MAX;

pub(super) struct SqliteWatch {
    store: SqliteStore,
    newest: latest::Receiver<Revision>,
    prefix: String,
    seen: Revision,
}

impl SqliteWatch {
    pub(super) fn new(store: SqliteStore, prefix: String, from: Revision) -> Self {
        let newest = store.shared.newest.clone();
        Self {
            store,
            newest,
            prefix,
            seen: from,
        }
    }
}

impl Watch for SqliteWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Event>, WatchError>> {
        async move {
            loop {
                let seen = self.seen;
                let closed = self.newest.wait_for(|newest| *newest > seen).await.is_err();
                if closed {
                    return Err(StoreError::Closed.into());
                }
                let prefix = self.prefix.clone();
                let page = self
                    .store
                    .read(|answer| ReadJob::Events {
                        prefix,
                        after: seen,
                        answer,
                    })
                    .await?;
                self.seen = page.seen;
                if !page.events.is_empty() {
                    return Ok(page.events);
                }
            }
        }
        .boxed()
    }
}

/// The events after a revision, whole transactions only.
pub(super) fn events_after(
    connection: &Connection,
    prefix: &str,
    after: Revision,
) -> Result<EventPage, WatchError> {
    let reading = connection.unchecked_transaction().map_err(engine_error)?;
    let (newest, compacted): (u64, u64) = reading
        .query_row("SELECT newest, compacted FROM history", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(engine_error)?;
    if after.0 < compacted {
        return Err(WatchError::Compacted { from: after });
    }
    let mut statement = reading
        .prepare_cached(
            "SELECT revision, key, value FROM event
             WHERE revision > ?1 AND key >= ?2 AND key < ?3 ORDER BY revision, ordinal",
        )
        .map_err(engine_error)?;
    let mut rows = statement
        .query((after.0, prefix, prefix_end(prefix)))
        .map_err(engine_error)?;
    let mut events: Vec<Event> = Vec::new();
    while let Some(row) = rows.next().map_err(engine_error)? {
        let revision = Revision(row.get(0).map_err(engine_error)?);
        // A batch ends between transactions, so that a watcher never sees half of one.
        let last = events.last().map(|event| event.revision);
        if events.len() >= STORE_WATCH_BATCH_MAX && last != Some(revision) {
            return Ok(EventPage {
                seen: last.unwrap_or(after),
                events,
            });
        }
        let value: Option<Vec<u8>> = row.get(2).map_err(engine_error)?;
        let key = row.get(1).map_err(engine_error)?;
        events.push(Event {
            revision,
            key,
            value: value.map(Bytes::from),
        });
    }
    Ok(EventPage {
        events,
        seen: Revision(newest),
    })
}
