//! The embedded engine against what the store promises.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{SqliteStore, connection, schema};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_TRANSACTION_OPERATIONS_MAX, STORE_VALUE_BYTES_MAX};
use crate::store::{Check, Revision, Store, StoreError, Transaction, WatchError, Write};

/// Set in the process that is killed in the middle of its writes.
const WRITER: &str = "DYNO_TEST_STORE_WRITER";

fn put(key: &str, value: &str) -> Write {
    Write::Put(key.to_owned(), Bytes::from(value.to_owned()))
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Transaction {
    Transaction {
        checks: Vec::new(),
        writes: writes.into_iter().collect(),
    }
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("state")).expect("opened")
}

async fn value(store: &SqliteStore, key: &str) -> Option<String> {
    let entry = store.get(key).await.expect("readable")?;
    Some(String::from_utf8(entry.value.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_failed_check_leaves_nothing_of_its_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let first = store.commit(writes([put("/a", "1")])).await.expect("new");
    let changed = |check| writes([put("/a", "2"), put("/b", "2")]).check(check);
    for check in [
        Check::Absent("/a".to_owned()),
        Check::Unchanged("/a".to_owned(), Revision(first.0 + 1)),
        Check::Unchanged("/b".to_owned(), first),
    ] {
        let result = store.commit(changed(check.clone())).await;
        assert!(
            matches!(result, Err(StoreError::Conflict { .. })),
            "{check:?}: {result:?}"
        );
    }
    assert_eq!(value(&store, "/a").await.as_deref(), Some("1"));
    assert_eq!(value(&store, "/b").await, None);
    let good =
        changed(Check::Unchanged("/a".to_owned(), first)).check(Check::Absent("/b".to_owned()));
    let second = store.commit(good).await.expect("still unchanged");
    assert_eq!(
        second.0,
        first.0 + 1,
        "a refused transaction takes no revision"
    );
    assert_eq!(value(&store, "/b").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn of_two_writers_that_read_the_same_one_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store.commit(writes([put("/n", "0")])).await.expect("new");
    let add_one = async |store: SqliteStore| {
        for _ in 0..20 {
            loop {
                let entry = store.get("/n").await.expect("readable").expect("there");
                let number: u32 = std::str::from_utf8(&entry.value)
                    .expect("text")
                    .parse()
                    .expect("a number");
                let write = writes([put("/n", &(number + 1).to_string())]);
                let check = Check::Unchanged("/n".to_owned(), entry.modified);
                match store.commit(write.check(check)).await {
                    Ok(_) => break,
                    Err(error) => assert!(error.is_conflict(), "{error}"),
                }
            }
        }
    };
    let writers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(add_one(store.clone())))
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_eq!(
        value(&store, "/n").await.as_deref(),
        Some("80"),
        "a write was lost"
    );
}

#[tokio::test]
async fn a_list_is_in_key_order_page_by_page_and_within_its_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let keys = ["/x/b", "/x/a", "/xy", "/x/c", "/w"];
    store
        .commit(writes(keys.map(|key| put(key, ""))))
        .await
        .expect("written");
    let page = store.list("/x/", None, 2).await.expect("listed");
    let names: Vec<&str> = page
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!((names, page.more), (vec!["/x/a", "/x/b"], true));
    let page = store.list("/x/", Some("/x/b"), 2).await.expect("listed");
    assert_eq!(
        (page.entries[0].key.as_str(), page.entries.len(), page.more),
        ("/x/c", 1, false)
    );
}

#[tokio::test]
async fn a_watcher_sees_every_change_once_in_order_and_whole_transactions() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let start = store
        .commit(writes([put("/a", "0"), put("/z", "0")]))
        .await
        .expect("written");
    let mut watch = store.watch("/a", start);
    let nothing = timeout(Duration::from_millis(20), watch.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    store
        .commit(writes([put("/z", "1")]))
        .await
        .expect("another prefix");
    store
        .commit(writes([put("/a", "1"), put("/a/b", "1")]))
        .await
        .expect("written");
    let gone = Write::Delete("/a".to_owned());
    store
        .commit(writes([gone, Write::Delete("/never".to_owned())]))
        .await
        .expect("removed");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let events = timeout(Duration::from_secs(10), watch.next())
            .await
            .expect("in time");
        seen.extend(events.expect("events"));
    }
    let shown: Vec<_> = seen
        .iter()
        .map(|event| (event.key.as_str(), event.value.is_some()))
        .collect();
    assert_eq!(shown, [("/a", true), ("/a/b", true), ("/a", false)]);
    assert_eq!(seen[0].revision, seen[1].revision);
    assert!(seen[1].revision < seen[2].revision);
}

#[tokio::test]
async fn a_watcher_that_is_too_far_behind_is_told_to_list_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    let store = SqliteStore::open_with_history(&path, 3).expect("opened");
    for number in 0..5 {
        store
            .commit(writes([put("/a", &number.to_string())]))
            .await
            .expect("written");
    }
    let mut behind = store.watch("/", Revision(1));
    let result = behind.next().await;
    assert!(
        matches!(result, Err(WatchError::Compacted { from: Revision(1) })),
        "{result:?}"
    );
    let mut near = store.watch("/", Revision(2));
    assert_eq!(near.next().await.expect("kept").len(), 3);
}

#[tokio::test]
async fn a_closed_store_ends_its_watchers_and_a_new_one_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let revision = store
        .commit(writes([put("/a", "1")]))
        .await
        .expect("written");
    drop(store);
    let store = open(folder.path());
    assert_eq!(value(&store, "/a").await.as_deref(), Some("1"));
    let next = store
        .commit(writes([put("/a", "2")]))
        .await
        .expect("written");
    assert_eq!(next.0, revision.0 + 1);
}

#[tokio::test]
async fn what_no_engine_takes_is_refused_before_it_is_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let exact = "x".repeat(STORE_VALUE_BYTES_MAX);
    store
        .commit(writes([put("/a", &exact)]))
        .await
        .expect("at the limit");
    let key = format!("/{}", "k".repeat(STORE_KEY_BYTES_MAX));
    let many = (0..=STORE_TRANSACTION_OPERATIONS_MAX).map(|number| put(&format!("/{number}"), ""));
    for refused in [
        writes([put("/b", &format!("{exact}x"))]),
        writes([put(&key, "")]),
        writes(many),
    ] {
        let result = store.commit(refused).await;
        assert!(
            matches!(result, Err(StoreError::TooLarge { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_full_disk_changes_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    let mut connection = connection::open(&path).expect("opened");
    schema::migrate(&connection).expect("made");
    let first = connection::commit(&mut connection, &writes([put("/a", "old")]), 100);
    let first = first.expect("written");
    // As large as it is now and no page more: what SQLite answers when the disk has no more room.
    let pages: u32 = connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .expect("counted");
    connection
        .pragma_update(None, "max_page_count", pages)
        .expect("limited");
    let big = writes([
        put("/a", "new"),
        put("/b", &"x".repeat(STORE_VALUE_BYTES_MAX)),
    ]);
    let result = connection::commit(&mut connection, &big, 100);
    assert!(matches!(result, Err(StoreError::DiskFull)), "{result:?}");
    let text = StoreError::DiskFull.to_string();
    assert!(
        text.contains("nothing was changed") && text.contains("hint: "),
        "{text}"
    );
    let entry = connection::get(&connection, "/a")
        .expect("readable")
        .expect("there");
    assert_eq!((&entry.value[..], entry.modified), (&b"old"[..], first));
    assert!(
        connection::get(&connection, "/b")
            .expect("readable")
            .is_none()
    );

    // With room again the same file goes on.
    connection
        .pragma_update(None, "max_page_count", 1_000_000)
        .expect("lifted");
    let second = connection::commit(&mut connection, &big, 100).expect("written");
    assert_eq!(second.0, first.0 + 1);
}

#[test]
fn a_store_of_a_newer_program_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    let connection = connection::open(&path).expect("opened");
    schema::migrate(&connection).expect("made");
    connection
        .pragma_update(None, "user_version", 999)
        .expect("raised");
    let error = schema::migrate(&connection).expect_err("refused");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("999") && cause.contains("hint: "), "{cause}");
}

/// Not a test of its own: the process that the next test kills. It says which writes were acknowledged.
#[tokio::test]
async fn writer_for_the_kill() {
    let Ok(folder) = std::env::var(WRITER) else {
        return;
    };
    let store = open(Path::new(&folder));
    for number in 0_u64.. {
        let both = writes([
            put("/one", &number.to_string()),
            put("/two", &number.to_string()),
        ]);
        store.commit(both).await.expect("written");
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_and_never_half() {
    for kill_after in [1, 7, 40] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = Command::new(std::env::current_exe().expect("our own path"))
            .args([
                "--exact",
                "store::sqlite::tests::writer_for_the_kill",
                "--nocapture",
            ])
            .env(WRITER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(writer.stdout.take().expect("piped")).lines();
        let mut acknowledged = None;
        for line in lines {
            let line = line.expect("text");
            let Some(number) = line.split("acknowledged ").nth(1) else {
                continue;
            };
            acknowledged = number.trim().parse::<u64>().ok();
            if acknowledged >= Some(kill_after) {
                break;
            }
        }
        writer.kill().expect("killed");
        writer.wait().expect("gone");
        let store = open(folder.path());
        let one: u64 = value(&store, "/one")
            .await
            .expect("there")
            .parse()
            .expect("a number");
        let two: u64 = value(&store, "/two")
            .await
            .expect("there")
            .parse()
            .expect("a number");
        assert_eq!(one, two, "half a transaction");
        assert!(
            Some(one) >= acknowledged,
            "{one} is older than {acknowledged:?}"
        );
    }
}
