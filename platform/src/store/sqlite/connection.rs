//! The statements: read, list, and commit with checks.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior};

use super::super::{Check, Entry, Listing, Revision, StoreError, Transaction, Write};

/// How long one connection waits for the other's lock; the data directory has one owner, so this is never long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the file with the durability that an acknowledgement promises.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(engine_error)?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(engine_error)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(engine_error)?;
    // FULL syncs the log at every commit; NORMAL would lose the last acknowledged ones with the power.
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(engine_error)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Sorts SQLite's errors into ours.
pub(super) fn engine_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        _ => StoreError::Engine(error.into()),
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get(0)?,
        value: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        created: Revision(row.get(2)?),
        modified: Revision(row.get(3)?),
    })
}

pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<Entry>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT key, value, created, modified FROM entry WHERE key = ?1")
        .map_err(engine_error)?;
    statement
        .query_row([key], entry)
        .optional()
        .map_err(engine_error)
}

pub(super) fn list(
    connection: &Connection,
    prefix: &str,
    after: Option<&str>,
    entries_max: usize,
) -> Result<Listing, StoreError> {
    // Entries and revision must show one state, so both are read in one read transaction.
    let reading = connection.unchecked_transaction().map_err(engine_error)?;
    let revision = reading
        .query_row("SELECT newest FROM history", [], |row| {
            row.get(0).map(Revision)
        })
        .map_err(engine_error)?;
    let mut statement = reading
        .prepare_cached(
            "SELECT key, value, created, modified FROM entry
             WHERE key >= ?1 AND key < ?2 AND key > ?3 ORDER BY key LIMIT ?4",
        )
        .map_err(engine_error)?;
    // One more than asked for tells whether more follow.
    let limit = i64::try_from(entries_max + 1).unwrap_or(i64::MAX);
    let end = prefix_end(prefix);
    let mut entries = statement
        .query_map((prefix, end, after.unwrap_or(""), limit), entry)
        .and_then(Iterator::collect::<rusqlite::Result<Vec<Entry>>>)
        .map_err(engine_error)?;
    let more = entries.len() > entries_max;
    entries.truncate(entries_max);
    Ok(Listing {
        entries,
        revision,
        more,
    })
}

/// The first text after everything that starts with `prefix`: keys are ASCII, so no key reaches U+10FFFF.
pub(super) fn prefix_end(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

/// Checks and writes in one synced transaction. Any error rolls all of it back.
pub(super) fn commit(
    connection: &mut Connection,
    transaction: &Transaction,
    revisions_max: u64,
) -> Result<Revision, StoreError> {
    let writing = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(engine_error)?;
    for check in &transaction.checks {
        holds(&writing, check)?;
    }
    let (newest, compacted): (u64, u64) = writing
        .query_row("SELECT newest, compacted FROM history", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(engine_error)?;
    let revision = newest + 1;
    for (ordinal, write) in transaction.writes.iter().enumerate() {
        apply(&writing, revision, ordinal, write).map_err(engine_error)?;
    }
    let oldest_kept = revision.saturating_sub(revisions_max).max(compacted);
    writing
        .prepare_cached("DELETE FROM event WHERE revision <= ?1")
        .and_then(|mut statement| statement.execute([oldest_kept]))
        .and_then(|_| writing.prepare_cached("UPDATE history SET newest = ?1, compacted = ?2"))
        .and_then(|mut statement| statement.execute([revision, oldest_kept]))
        .map_err(engine_error)?;
    writing.commit().map_err(engine_error)?;
    Ok(Revision(revision))
}

fn holds(connection: &Connection, check: &Check) -> Result<(), StoreError> {
    let (key, expected) = match check {
        Check::Absent(key) => (key, None),
        Check::Unchanged(key, revision) => (key, Some(*revision)),
    };
    let mut statement = connection
        .prepare_cached("SELECT modified FROM entry WHERE key = ?1")
        .map_err(engine_error)?;
    let found = statement
        .query_row([key], |row| row.get(0).map(Revision))
        .optional()
        .map_err(engine_error)?;
    if found == expected {
        Ok(())
    } else {
        Err(StoreError::Conflict { key: key.clone() })
    }
}

fn apply(
    connection: &Connection,
    revision: u64,
    ordinal: usize,
    write: &Write,
) -> rusqlite::Result<()> {
    let (key, value) = match write {
        Write::Put(key, value) => {
            connection
                .prepare_cached(
                    "INSERT INTO entry (key, value, created, modified) VALUES (?1, ?2, ?3, ?3)
                     ON CONFLICT (key) DO UPDATE SET value = ?2, modified = ?3",
                )?
                .execute((key, value.as_ref(), revision))?;
            (key, Some(value.as_ref()))
        }
        Write::Delete(key) => {
            let removed = connection
                .prepare_cached("DELETE FROM entry WHERE key = ?1")?
                .execute([key])?;
            if removed == 0 {
                return Ok(());
            }
            (key, None)
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO event (revision, ordinal, key, value) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((revision, ordinal, key, value))?;
    Ok(())
}
