//! File layers that try to get out, to fill the disk, or to be what no builder makes.

use dyno_slug::{Limits, SlugStore};
use tar::EntryType;

use crate::forge::{Entry, Forge, archive, compressed, limits, open_ended, refusal, refused_with};

#[track_caller]
fn refuse(entries: &[Entry], words: &[&str]) {
    refused_with(
        &Forge::with_files(entries).bytes(),
        &Limits::default(),
        words,
    );
}

#[test]
fn a_forged_slug_with_nothing_wrong_is_taken() {
    let slug = Forge::with_files(&[
        Entry::directory("public/"),
        Entry::file("public/index.html", "hello"),
        Entry::file("bin/run", "#!/bin/sh\n").mode(0o755),
        Entry::symlink("public/home", "../public/index.html"),
    ]);
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    let stored = store
        .import_reader(&slug.bytes()[..], "honest.slug")
        .unwrap();
    stored.verify().unwrap();
    let tree = stored.layer_tree(&stored.manifest().layers[0]);
    assert_eq!(std::fs::read(tree.join("public/home")).unwrap(), b"hello");
}

#[test]
fn an_absolute_path_is_refused() {
    refuse(
        &[Entry::file("/etc/passwd", "x")],
        &["/etc/passwd", "absolute"],
    );
}

#[test]
fn a_path_with_dotdot_is_refused() {
    refuse(&[Entry::file("../escaped", "x")], &["../escaped", "`..`"]);
    refuse(
        &[Entry::file("a/../../escaped", "x")],
        &["a/../../escaped", "`..`"],
    );
    refuse(&[Entry::file("a/..", "x")], &["a/..", "`..`"]);
}

#[test]
fn odd_paths_are_refused() {
    refuse(&[Entry::file("a//b", "x")], &["a//b", "empty part"]);
    refuse(&[Entry::file("a/./b", "x")], &["a/./b", "`.` part"]);
    refuse(&[Entry::file(b"caf\xe9", "x")], &["UTF-8"]);
    refuse(&[Entry::file("", "x")], &["(no name)", "empty"]);
    refuse(
        &[Entry::file(".", "x")],
        &["only a directory can be the root"],
    );
}

#[test]
fn a_link_out_of_the_tree_is_refused() {
    for target in [
        "/etc/passwd",
        "../outside",
        "..",
        "a/../../outside",
        "",
        "b/..",
    ] {
        let link = [Entry::symlink("link", target)];
        refuse(
            &link,
            &["link", &format!("\"{target}\""), "not inside the tree"],
        );
    }
    let deep = [
        Entry::directory("a/"),
        Entry::symlink("a/link", "../../outside"),
    ];
    refuse(&deep, &["a/link", "../../outside"]);
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = [
        Entry::directory("real/"),
        Entry::symlink("link", "real"),
        Entry::file("link/file", "x"),
    ];
    refuse(&through, &["link/file", "below \"link\""]);
    let replaced = [Entry::symlink("file", "other"), Entry::file("file", "x")];
    refuse(&replaced, &["file", "twice"]);
    let below_a_file = [Entry::file("file", "x"), Entry::file("file/below", "x")];
    refuse(&below_a_file, &["file/below", "not a directory"]);
}

#[test]
fn devices_pipes_and_hard_links_are_refused() {
    for (kind, word) in [
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNUSparse, "sparse"),
        (EntryType::Continuous, "unknown kind"),
    ] {
        refuse(&[Entry::of_kind(kind, "dev/thing")], &["dev/thing", word]);
    }
    let target = Entry::file("file", "x");
    let link = Entry::link(EntryType::Link, "copy", "file");
    refuse(&[target, link], &["copy", "hard link"]);
}

#[test]
fn a_set_id_bit_is_refused() {
    for mode in [0o4755, 0o2755] {
        refuse(
            &[Entry::file("sudo", "x").mode(mode)],
            &["sudo", "set-user-id"],
        );
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let twice = [Entry::file("file", "one"), Entry::file("file", "two")];
    refuse(&twice, &["file", "twice"]);
    let spelled = [Entry::file("file", "one"), Entry::file("./file", "two")];
    refuse(&spelled, &["file", "twice"]);
}

#[test]
fn files_of_another_size_than_the_manifest_says_are_refused() {
    let layer = compressed(&archive(&[Entry::file("file", "12345")]));
    for declared in [4, 6] {
        let slug = Forge::with_layer(layer.clone(), declared).bytes();
        let said = format!("5 bytes, but {declared} were declared");
        refused_with(&slug, &Limits::default(), &["/app", &said]);
    }
}

#[test]
fn a_directory_with_a_body_is_refused() {
    let mut entry = Entry::directory("folder/").declared(512);
    entry = entry.mode(0o755);
    let layer = compressed(&archive(&[entry]));
    refused_with(
        &Forge::with_layer(layer, 0).bytes(),
        &Limits::default(),
        &["folder", "512 were declared"],
    );
}

#[test]
fn a_layer_of_as_many_entries_as_allowed_is_taken_and_one_more_is_not() {
    let few = limits(|limits| limits.entries_max = 3);
    let entries = ["a", "b", "c", "d"].map(|name| Entry::file(name, "x"));
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open_with_limits(scratch.path(), few.clone()).unwrap();
    let fitting = Forge::with_files(&entries[..3]).bytes();
    store.import_reader(&fitting[..], "fitting").unwrap();
    let slug = Forge::with_files(&entries).bytes();
    refused_with(
        &slug,
        &few,
        &["d (in the layer /app)", "number of files", "limit of 3"],
    );
    // Folders that only a path implies count as well.
    let slug = Forge::with_files(&[Entry::file("a/b/c/d", "x")]).bytes();
    refused_with(&slug, &few, &["a/b/c/d", "limit of 3"]);
}

#[test]
fn an_archive_of_nothing_but_headers_ends() {
    let few = limits(|limits| limits.entries_max = 4);
    let name = Entry::of_kind(EntryType::GNULongName, "././@LongLink");
    let layer = compressed(&archive(&vec![name; 13]));
    let slug = Forge::with_layer(layer, 0).bytes();
    refused_with(&slug, &few, &["number of headers", "limit of 12"]);
}

#[test]
fn a_path_that_is_too_deep_or_too_long_is_refused() {
    let deep = "d/".repeat(64) + "file";
    refuse(
        &[Entry::file(&deep, "x")],
        &["d/d/d", "depth of a path", "limit of 64"],
    );
    let long_name = "n".repeat(256);
    refuse(
        &[Entry::file(&long_name, "x")],
        &["length of a name", "limit of 255"],
    );
    let long_path = format!("{}/", "p".repeat(200)).repeat(5) + &"q".repeat(100);
    refuse(
        &[Entry::file(&long_path, "x")],
        &["length of a path", "limit of 1024"],
    );
}

#[test]
fn a_name_that_would_fill_the_memory_is_refused_before_it_is_read() {
    let name = Entry::of_kind(EntryType::GNULongName, "././@LongLink").declared(1 << 40);
    let layer = compressed(&archive(&[name]));
    let slug = Forge::with_layer(layer, 0).bytes();
    refused_with(&slug, &Limits::default(), &["long-name", "limit of 16384"]);
}

#[test]
fn files_that_are_too_large_are_refused() {
    let slug = Forge::with_files(&[Entry::file("big", "123456")]).bytes();
    let small = limits(|limits| limits.file_bytes_max = 5);
    refused_with(&slug, &small, &["big", "size of a file", "limit of 5"]);

    // The manifest is believed in nothing: it says 4, the archive holds 6.
    let layer = compressed(&archive(&[
        Entry::file("a", "123"),
        Entry::file("b", "456"),
    ]));
    let slug = Forge::with_layer(layer, 4).bytes();
    let small = limits(|limits| limits.unpacked_bytes_max = 5);
    refused_with(
        &slug,
        &small,
        &["b (in the layer /app)", "unpacked", "limit of 5"],
    );
}

#[test]
fn a_compression_bomb_stops_at_the_allowed_ratio() {
    let bomb = vec![0; 4 << 20];
    let slug = Forge::with_files(&[Entry::file("zeros", &bomb)]).bytes();
    let tight = limits(|limits| {
        limits.compression_ratio_max = 100;
        limits.compression_floor_bytes = 1 << 20;
    });
    refused_with(&slug, &tight, &["ratio", "limit of 100"]);
    let scratch = tempfile::tempdir().unwrap();
    let store = SlugStore::open(scratch.path()).unwrap();
    store.import_reader(&slug[..], "under the floor").unwrap();
}

#[test]
fn a_truncated_layer_is_refused() {
    let whole = open_ended(&[Entry::file("first", "x"), Entry::file("second", [7; 2000])]);
    // In the middle of a body, and in the middle of a header.
    for length in [2048, 1024 + 100] {
        let slug = Forge::with_layer(compressed(&whole[..length]), 2001).bytes();
        refusal(&slug, &Limits::default());
    }
    let body_cut = Forge::with_layer(compressed(&whole[..2048]), 2001).bytes();
    refused_with(&body_cut, &Limits::default(), &["second", "ends too early"]);

    let packed = compressed(&archive(&[Entry::file("file", [7; 2000])]));
    let slug = Forge::with_layer(packed[..packed.len() - 3].to_vec(), 2000).bytes();
    refusal(&slug, &Limits::default());
}

#[test]
fn bytes_after_the_archives_end_are_refused() {
    let mut hidden = archive(&[Entry::file("file", "x")]);
    hidden.extend_from_slice(&archive(&[Entry::file("hidden", "y")]));
    let slug = Forge::with_layer(compressed(&hidden), 1).bytes();
    refused_with(
        &slug,
        &Limits::default(),
        &["what follows the archive's end"],
    );
}

#[test]
fn a_layer_that_is_no_archive_is_refused() {
    for layer in [
        &b"not zstd at all"[..],
        &compressed(b"no tar in here, but long enough to be read as one"),
    ] {
        let slug = Forge::with_layer(layer.to_vec(), 0).bytes();
        refusal(&slug, &Limits::default());
    }
}

#[test]
fn control_characters_of_a_hostile_name_are_not_printed() {
    let entry = Entry::file("/\x1b[31mred\nline", "x");
    for text in refusal(&Forge::with_files(&[entry]).bytes(), &Limits::default()) {
        assert!(!text.contains('\x1b') && !text.contains('\n'), "{text:?}");
    }
}
