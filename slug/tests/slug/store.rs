//! The store: shared parts once, nothing half-done, damage noticed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dyno_slug::{Problem, ReadError, SlugStore};

use crate::forge::{Entry, Forge, names_in};

fn slug(body: &str) -> Vec<u8> {
    Forge::with_files(&[
        Entry::file("file", body),
        Entry::file("run", "x").mode(0o755),
    ])
    .bytes()
}

#[test]
fn a_tree_is_read_only_and_keeps_who_may_execute() {
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let stored = store.import_reader(&slug("one")[..], "one").unwrap();
    let tree = stored.layer_tree(&stored.manifest().layers[0]);
    let mode = |name: &str| fs::metadata(tree.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("file"), mode("run"), mode("")), (0o444, 0o555, 0o555));
}

#[test]
fn importing_twice_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let first = *store
        .import_reader(&slug("one")[..], "one")
        .unwrap()
        .digest();
    let second = *store
        .import_reader(&slug("one")[..], "one")
        .unwrap()
        .digest();
    assert_eq!(first, second);
    assert_eq!(store.list().unwrap(), [first]);
}

#[test]
fn removing_a_slug_keeps_what_another_uses() {
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let one = *store
        .import_reader(&slug("one")[..], "one")
        .unwrap()
        .digest();
    // The same layer under another manifest.
    let mut sibling = Forge::with_files(&[
        Entry::file("file", "one"),
        Entry::file("run", "x").mode(0o755),
    ]);
    sibling.config["process_types"]["web"]["command"] = "other".into();
    let two = *store
        .import_reader(&sibling.bytes()[..], "two")
        .unwrap()
        .digest();
    assert_ne!(one, two);
    assert_eq!(
        names_in(&scratch.path().join("trees")).len(),
        1,
        "the tree is not shared"
    );

    store.remove(&one).unwrap();
    assert!(store.get(&one).unwrap_err().is_not_found());
    store.get(&two).unwrap().verify().unwrap();
    store.remove(&two).unwrap();
    for directory in ["trees", "blobs/sha256", "slugs"] {
        assert_eq!(
            names_in(&scratch.path().join(directory)),
            [""; 0],
            "{directory}"
        );
    }
}

#[test]
fn a_store_opened_again_has_its_slugs_and_no_remains() {
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let digest = *store
        .import_reader(&slug("one")[..], "one")
        .unwrap()
        .digest();
    drop(store);
    // As a crash in the middle of an import leaves it.
    fs::create_dir_all(scratch.path().join("staging/interrupted/blobs")).unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    assert_eq!(store.list().unwrap(), [digest]);
    assert_eq!(names_in(&scratch.path().join("staging")), [""; 0]);
}

#[test]
fn a_tree_that_went_missing_is_unpacked_again() {
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let stored = store.import_reader(&slug("one")[..], "one").unwrap();
    let tree = stored.layer_tree(&stored.manifest().layers[0]);
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir_all(&tree).unwrap();
    let again = store.get(stored.digest()).unwrap();
    let tree = again.layer_tree(&again.manifest().layers[0]);
    assert_eq!(fs::read(tree.join("file")).unwrap(), b"one");
}

#[test]
fn a_damaged_blob_is_noticed_and_a_second_import_repairs_a_short_one() {
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let stored = store.import_reader(&slug("one")[..], "one").unwrap();
    let layer = &stored.manifest().layers[0];
    let path = stored.component_path(&layer.digest);
    let mut bytes = fs::read(&path).unwrap();
    let replace = |bytes: &[u8]| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    bytes[0] ^= 1;
    replace(&bytes);
    let error = stored.verify().unwrap_err();
    let ReadError::Refused {
        entry,
        problem: Problem::Digest { .. },
        ..
    } = &error
    else {
        panic!("another error: {error}");
    };
    assert!(entry.contains(&layer.digest.hex()), "{entry}");

    replace(&bytes[..3]);
    assert!(store.get(stored.digest()).unwrap_err().is_refused());
    store.import_reader(&slug("one")[..], "one").unwrap();
    store.get(stored.digest()).unwrap().verify().unwrap();
}
