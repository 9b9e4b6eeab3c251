//! What a builder writes: the same bytes for the same input, and nothing that a reader refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use dyno_slug::{FileSource, ProcessSource, SlugBuilder, SlugDigest, SlugFile, World, WriteError};

use crate::forge::{limits, names_in};

/// An app's folder; `names` in the order they are made.
fn app(directory: &Path, names: &[&str]) {
    fs::create_dir_all(directory.join("lib")).unwrap();
    for name in names {
        fs::write(directory.join(name), format!("file {name}")).unwrap();
    }
    fs::set_permissions(directory.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("lib/code", directory.join("link")).unwrap();
    fs::write(directory.join("../web.wasm"), b"\0asm component").unwrap();
}

fn builder(directory: &Path) -> SlugBuilder {
    let mut web =
        ProcessSource::new("./run", World::HttpProxy).component(directory.join("../web.wasm"));
    web.environment.insert("B".to_owned(), "2".to_owned());
    web.environment.insert("A".to_owned(), "1".to_owned());
    SlugBuilder::new(FileSource::new(directory))
        .buildpack("wasm", "0.1.0")
        .process("web".parse().unwrap(), web)
        .default_config_var("WEB_CONCURRENCY", "2")
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let one = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (one, other) = (one.path(), other.path());
    app(&one.join("app"), &["run", "lib/code", "a.txt"]);
    // Made in another order, in another place, at another time, for other users' eyes.
    app(&other.join("app"), &["a.txt", "lib/code", "run"]);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = fs::File::options()
        .append(true)
        .open(other.join("app/a.txt"))
        .unwrap();
    file.set_modified(long_ago).unwrap();
    fs::set_permissions(other.join("app/a.txt"), fs::Permissions::from_mode(0o600)).unwrap();

    let first = builder(&one.join("app")).write(one.join("x.slug")).unwrap();
    let second = builder(&other.join("app"))
        .write(other.join("y.slug"))
        .unwrap();
    assert_eq!(first, second);
    let (x, y) = (
        fs::read(one.join("x.slug")).unwrap(),
        fs::read(other.join("y.slug")).unwrap(),
    );
    assert!(x == y, "the digests are equal and the bytes are not");
}

#[test]
fn what_decides_how_an_app_runs_decides_the_digest() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("app");
    app(&directory, &["run", "lib/code"]);
    let write = || -> SlugDigest { builder(&directory).write(scratch.path().join("s")).unwrap() };
    let first = write();
    fs::write(directory.join("run"), "other").unwrap();
    let second = write();
    fs::set_permissions(directory.join("run"), fs::Permissions::from_mode(0o644)).unwrap();
    let third = write();
    assert_ne!(first, second);
    assert_ne!(second, third);
}

#[test]
fn a_written_slug_reads_back_as_it_was_made() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("app");
    app(&directory, &["run", "lib/code"]);
    let path = scratch.path().join("app.slug");
    let digest = builder(&directory).write(&path).unwrap();
    let slug = SlugFile::open(&path).unwrap();
    slug.verify().unwrap();
    assert_eq!(slug.digest(), &digest);
    let manifest = slug.manifest();
    let web = &manifest.process_types["web"];
    assert_eq!(web.command, "./run");
    assert_eq!(
        slug.component(&web.component.unwrap()).unwrap(),
        b"\0asm component"
    );
    assert_eq!(manifest.buildpacks[0].name, "wasm");
    assert_eq!(manifest.default_config_vars["WEB_CONCURRENCY"], "2");
    assert_eq!(
        names_in(scratch.path()),
        ["app", "app.slug", "web.wasm"],
        "something was left"
    );
}

#[test]
fn a_shared_layer_is_packed_once_and_gives_the_same_bytes_from_the_cache() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("app");
    app(&directory, &["run", "lib/code"]);
    let shared = scratch.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("library"), "shared").unwrap();
    let with_layer =
        || builder(&directory).layer("/lib".parse().unwrap(), FileSource::new(&shared));
    let plain = with_layer().write(scratch.path().join("plain")).unwrap();
    let cache = scratch.path().join("cache");
    for name in ["cold", "warm"] {
        let path = scratch.path().join(name);
        assert_eq!(
            with_layer().layer_cache(&cache).write(&path).unwrap(),
            plain,
            "{name}"
        );
        SlugFile::open(&path).unwrap().verify().unwrap();
    }
}

#[test]
fn a_source_with_a_link_out_of_it_or_a_pipe_is_not_packed() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("app");
    app(&directory, &["run", "lib/code"]);
    let path = scratch.path().join("app.slug");
    symlink("/etc/passwd", directory.join("leak")).unwrap();
    let error = builder(&directory).write(&path).unwrap_err();
    assert!(matches!(error, WriteError::Source { .. }), "{error}");
    assert!(error.to_string().contains("leak"), "{error}");
    fs::remove_file(directory.join("leak")).unwrap();

    let socket = std::os::unix::net::UnixListener::bind(directory.join("socket")).unwrap();
    let error = builder(&directory).write(&path).unwrap_err();
    assert!(error.to_string().contains("socket"), "{error}");
    drop(socket);
    assert!(!path.exists(), "half a slug was left");
}

#[test]
fn a_slug_over_the_limit_is_not_written_and_says_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("app");
    app(&directory, &["run", "lib/code"]);
    let path = scratch.path().join("app.slug");
    let error = builder(&directory)
        .limits(limits(|limits| limits.slug_bytes_max = 2048))
        .write(&path)
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("2048") && text.contains("hint:"), "{text}");
    assert_eq!(names_in(scratch.path()), ["app", "web.wasm"]);
}

#[test]
fn excluded_and_ignored_files_are_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("app");
    app(&directory, &["run", "lib/code", "secret.log"]);
    let source = FileSource::new(&directory).exclude("lib").ignore(|entry| {
        entry
            .path
            .extension()
            .is_some_and(|extension| extension == "log")
    });
    let path = scratch.path().join("app.slug");
    SlugBuilder::new(source)
        .process(
            "web".parse().unwrap(),
            ProcessSource::new("static", World::Static),
        )
        .write(&path)
        .unwrap();
    let store = dyno_slug::SlugStore::open(scratch.path().join("store")).unwrap();
    let stored = store.import(&path).unwrap();
    let tree = stored.layer_tree(&stored.manifest().layers[0]);
    assert_eq!(names_in(&tree), ["link", "run"]);
}
