//! Images whose documents, blobs and archive do not agree.

use dyno_slug::{Limits, SlugFile};
use serde_json::json;

use crate::forge::{Entry, Forge, archive, blob_name, limits, refusal, refused_with};

fn honest() -> Forge {
    Forge::with_files(&[Entry::file("index.html", "hello")])
}

#[track_caller]
fn refuse(slug: &[u8], words: &[&str]) {
    refused_with(slug, &Limits::default(), words);
}

#[test]
fn a_blob_with_other_bytes_than_its_digest_is_refused() {
    let documents = honest().documents();
    let entries = documents.entries();
    // The layer is the last of the blobs, and its last bytes are no header of anything.
    let mut slug = archive(&entries);
    let layer = honest().layer;
    let position = slug
        .windows(layer.len())
        .position(|bytes| bytes == layer)
        .unwrap();
    slug[position + layer.len() - 1] ^= 1;
    refuse(
        &slug,
        &[&blob_name(&layer), "have the digest", "was declared"],
    );
}

#[test]
fn a_manifest_that_was_changed_is_refused() {
    let slug = honest().bytes();
    let at = |text: &[u8]| {
        slug.windows(text.len())
            .position(|bytes| bytes == text)
            .unwrap()
    };
    let mut changed = slug.clone();
    changed[at(b"wasi-1") + 5] = b'2';
    refuse(&changed, &["blobs/sha256/", "have the digest"]);
}

#[test]
fn a_blob_of_another_size_than_declared_is_refused() {
    let mut forge = honest();
    let real = forge.layer.len();
    forge.config["layers"][0]["size"] = json!(real + 1);
    let name = blob_name(&forge.layer);
    let mut documents = forge.documents();
    documents.manifest["layers"][0]["size"] = json!(real + 1);
    documents.index = documents.honest_index();
    let said = format!("{real} bytes, but {} were declared", real + 1);
    refuse(&documents.bytes(), &[&name, &said]);
}

#[test]
fn an_index_with_another_manifest_size_is_refused() {
    let mut documents = honest().documents();
    documents.index["manifests"][0]["size"] = json!(7);
    refuse(
        &documents.bytes(),
        &["blobs/sha256/", "but 7 were declared"],
    );
}

#[test]
fn a_slug_that_ends_too_early_is_refused_wherever_it_is_cut() {
    let whole = honest().bytes();
    let content = whole.len() - 1024;
    // In each header, body and padding; behind the last body only padding is missing.
    for length in (1..content - 512).step_by(97) {
        refusal(&whole[..length], &Limits::default());
    }
}

#[test]
fn missing_and_unexpected_blobs_are_refused() {
    let documents = honest().documents();
    let mut entries = documents.entries();
    entries.pop();
    refuse(
        &archive(&entries),
        &[&blob_name(&honest().layer), "missing"],
    );

    let mut forge = honest();
    forge
        .more
        .push(Entry::file(blob_name(b"stowaway"), "stowaway"));
    refuse(
        &forge.bytes(),
        &[&blob_name(b"stowaway"), "nothing in the slug refers to it"],
    );
}

#[test]
fn files_that_no_layout_has_are_refused() {
    for name in [
        "README",
        "blobs/sha256/short",
        "blobs/md5/abc",
        "blobs/sha256/deeper/still",
    ] {
        let mut forge = honest();
        forge.more.push(Entry::file(name, "x"));
        refuse(&forge.bytes(), &[name, "nothing in the slug refers to it"]);
    }
}

#[test]
fn a_layout_that_leaves_its_archive_is_refused() {
    let mut forge = honest();
    forge.more.push(Entry::file("../../escaped", "x"));
    refuse(&forge.bytes(), &["../../escaped", "`..`"]);
    let mut forge = honest();
    forge.more.push(Entry::file("/escaped", "x"));
    refuse(&forge.bytes(), &["/escaped", "absolute"]);
    let mut forge = honest();
    forge
        .more
        .push(Entry::symlink("blobs/sha256/link", "/etc/passwd"));
    refuse(&forge.bytes(), &["blobs/sha256/link", "symbolic link"]);
}

#[test]
fn a_blob_that_appears_twice_is_refused() {
    let mut forge = honest();
    let layer = forge.layer.clone();
    forge.more.push(Entry::file(blob_name(&layer), &layer));
    refuse(&forge.bytes(), &[&blob_name(&layer), "twice"]);
}

#[test]
fn a_slug_larger_than_allowed_is_refused() {
    let slug = honest().bytes();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("exact.slug");
    std::fs::write(&path, &slug).unwrap();
    let exact = limits(|limits| limits.slug_bytes_max = slug.len() as u64);
    SlugFile::open_with_limits(&path, exact)
        .unwrap()
        .verify()
        .unwrap();

    let small = limits(|limits| limits.slug_bytes_max = slug.len() as u64 - 1);
    let error = SlugFile::open_with_limits(&path, small.clone()).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    let store =
        dyno_slug::SlugStore::open_with_limits(scratch.path().join("store"), small).unwrap();
    let error = store.import(&path).unwrap_err();
    assert!(
        error.is_refused() && error.to_string().contains("too large"),
        "{error}"
    );
}

#[test]
fn a_manifest_over_its_limit_is_refused() {
    let small = limits(|limits| limits.manifest_bytes_max = 300);
    refused_with(
        &honest().bytes(),
        &small,
        &["a manifest in bytes", "limit of 300"],
    );
}

#[test]
fn a_newer_format_is_refused_with_a_hint() {
    let mut forge = honest();
    forge.config["format_version"] = json!(2);
    refuse(
        &forge.bytes(),
        &["format version 2", "hint:", "update dyno"],
    );
}

#[test]
fn another_stack_is_refused() {
    let mut forge = honest();
    forge.config["stack"] = json!("heroku-24");
    refuse(&forge.bytes(), &["heroku-24", "wasi-1"]);
}

#[test]
fn mounts_that_hide_one_another_are_refused() {
    let mut forge = honest();
    let mut second = forge.config["layers"][0].clone();
    second["mount"] = json!("/app/lib");
    forge.config["layers"].as_array_mut().unwrap().push(second);
    refusal(&forge.bytes(), &Limits::default());
}

#[test]
fn an_image_that_is_no_slug_is_refused() {
    let mut documents = honest().documents();
    documents.manifest["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    documents.index = documents.honest_index();
    refuse(&documents.bytes(), &["the image is not a slug"]);

    let mut documents = honest().documents();
    documents.index["manifests"] = json!([]);
    refuse(&documents.bytes(), &["index.json", "0 images"]);

    let mut documents = honest().documents();
    documents.manifest["layers"] = json!([]);
    documents.index = documents.honest_index();
    refuse(&documents.bytes(), &["its layers are not those"]);
}

#[test]
fn what_is_no_slug_at_all_is_refused() {
    refusal(b"", &Limits::default());
    refusal(b"hello", &Limits::default());
    refusal(&[0; 4096], &Limits::default());
    refusal(&vec![0xff; 4096], &Limits::default());
}
