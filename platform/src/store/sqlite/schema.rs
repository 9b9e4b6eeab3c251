//! The tables, by version: each step is applied once and never edited afterwards.

use rusqlite::Connection;

use super::super::{Revision, StoreError};
use super::connection::engine_error;

/// Step N brings a file from version N to N + 1.
const STEPS: [&str; 1] = ["
    CREATE TABLE entry (
        key      TEXT PRIMARY KEY,
        value    BLOB NOT NULL,
        created  INTEGER NOT NULL,
        modified INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- What watchers read; a NULL value is a removal.
    CREATE TABLE event (
        revision INTEGER NOT NULL,
        ordinal  INTEGER NOT NULL,
        key      TEXT NOT NULL,
        value    BLOB,
        PRIMARY KEY (revision, ordinal)
    ) WITHOUT ROWID;
    CREATE TABLE history (
        only_row  INTEGER PRIMARY KEY CHECK (only_row = 0),
        newest    INTEGER NOT NULL,
        compacted INTEGER NOT NULL
    );
    INSERT INTO history VALUES (0, 0, 0);
"];

/// Brings the file to this program's version and answers its newest revision.
pub(super) fn migrate(connection: &Connection) -> Result<Revision, StoreError> {
    let version: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(engine_error)?;
    if version > STEPS.len() {
        let words = format!(
            "the state store has version {version} and this dyno reads up to {}\n  hint: it was written by a newer dyno; use that one",
            STEPS.len()
        );
        return Err(StoreError::Engine(words.into()));
    }
    for (step, statements) in STEPS.iter().enumerate().skip(version) {
        // One transaction a step: a crash in between leaves a whole version.
        let script = format!(
            "BEGIN IMMEDIATE; {statements} PRAGMA user_version = {}; COMMIT;",
            step + 1
        );
        connection.execute_batch(&script).map_err(engine_error)?;
    }
    connection
        .query_row("SELECT newest FROM history", [], |row| {
            row.get(0).map(Revision)
        })
        .map_err(engine_error)
}
