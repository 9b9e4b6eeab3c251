//! What goes wrong at a user's hands, and the words for it.

use std::fs;
use std::net::TcpListener;

use crate::limits::BUILD_MAX;
use crate::place::Place;
use crate::sources::{Source, command_component, example};

/// A source that cannot be deployed, and what is said about it.
struct Refused {
    what: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    phrases: &'static [&'static str],
}

fn refused_sources() -> Vec<Refused> {
    let hello = fs::read(example("c-hello").join("hello.wasm")).unwrap();
    vec![
        Refused {
            what: "nothing that a buildpack knows",
            files: vec![("notes.txt", b"milk, eggs".to_vec())],
            phrases: &[
                "no buildpack recognises this app",
                "hint:",
                "requirements.txt",
            ],
        },
        Refused {
            what: "a Procfile with a process nobody built",
            files: vec![
                ("index.html", b"<!doctype html>Hello".to_vec()),
                (
                    "Procfile",
                    b"web: static\nworker: run-the-mill --fast\n".to_vec(),
                ),
            ],
            phrases: &["Procfile", "\"worker\"", "run-the-mill --fast", "hint:"],
        },
        Refused {
            what: "a component that needs what nobody provides",
            files: vec![
                (
                    "app.wasm",
                    command_component(Some("acme:telemetry/collector@1.0.0")),
                ),
                ("Procfile", b"worker: app.wasm\n".to_vec()),
            ],
            phrases: &[
                "imports what dyno does not provide",
                "acme:telemetry/collector@1.0.0",
                "hint:",
            ],
        },
        Refused {
            what: "a file that is no component",
            files: vec![
                ("app.wasm", b"#!/bin/sh\necho hello\n".to_vec()),
                ("Procfile", b"web: app.wasm\n".to_vec()),
            ],
            phrases: &["app.wasm", "not a wasm file"],
        },
        Refused {
            what: "a component cut in half",
            files: vec![
                ("app.wasm", hello[..hello.len() / 2].to_vec()),
                ("Procfile", b"web: app.wasm\n".to_vec()),
            ],
            phrases: &["app.wasm"],
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_cannot_be_deployed_is_refused_with_its_reason() {
    let place = Place::new();
    for refused in refused_sources() {
        let files: Vec<(&str, &[u8])> = refused
            .files
            .iter()
            .map(|(path, bytes)| (*path, bytes.as_slice()))
            .collect();
        let source = Source::new(&files);
        eprintln!("--- {}", refused.what);
        let up = place.start_up(source.path(), "refused", &[]);
        up.end(BUILD_MAX).await.ended_with(1, refused.phrases);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_compilation_shows_its_output_and_leaves_the_old_release() {
    let (place, source) = (Place::new(), Source::of_example("go-nethttp"));
    let (up, _) = place.up(source.path(), "shop").await;
    up.interrupt().await.succeeded();

    source.write("broken.go", b"package main\n\nvar broken = noSuchName\n");
    let failed = place
        .start_up(source.path(), "shop", &[])
        .end(BUILD_MAX)
        .await;
    failed.ended_with(
        1,
        &[
            "broken.go:3",
            "undefined: noSuchName",
            "could not compile this app",
        ],
    );

    let (serve, app) = place.serve_app("shop").await;
    assert_eq!(
        app.get("/hello?name=World").await.text().trim_end(),
        "Hello, World!"
    );
    place
        .run(["releases", "--app", "shop"])
        .await
        .ended_with(0, &["Current: v1"]);
    serve.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_and_a_data_directory_have_one_owner() {
    let (place, other) = (Place::new(), Place::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = place.run(["serve", "--listen", &address]).await;
    refused.ended_with(
        1,
        &[
            &format!("cannot listen on {address}"),
            "in use",
            "hint:",
            "--listen",
        ],
    );

    let (serve, _) = place.serve().await;
    let owner = format!("is used by another dyno (pid {})", serve.id());
    let second = place.run(["serve", "--listen", "127.0.0.1:0"]).await;
    second.ended_with(
        1,
        &[
            &place.path().display().to_string(),
            &owner,
            "hint:",
            "--data-dir",
        ],
    );
    // Another directory is another platform.
    let (beside, _) = other.serve().await;
    beside.interrupt().await.succeeded();
    serve.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_mean_nothing_are_refused() {
    let place = Place::new();
    fs::write(place.path().join("dyno.toml"), "[router]\ntimeout = 3\n").unwrap();
    let refused = place.run(["serve", "--listen", "127.0.0.1:0"]).await;
    refused.ended_with(1, &["dyno.toml is not valid", "timeout"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_slug_is_refused_and_a_whole_one_described() {
    let place = Place::new();
    let slug = place.path().join("site.slug");
    let slug_path = slug.to_str().unwrap();
    let site = example("static-site");
    place
        .run(["build", site.to_str().unwrap(), "-o", slug_path])
        .await
        .succeeded();
    place
        .run(["inspect", slug_path])
        .await
        .ended_with(0, &["static", "web", "sha256:", "/app"]);
    let json = place
        .run(["inspect", slug_path, "--json"])
        .await
        .succeeded()
        .output;
    let described: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(described["process_types"]["web"]["world"], "static");
    assert_eq!(described["buildpacks"][0]["name"], "static");

    let whole = fs::read(&slug).unwrap();
    let again = place.path().join("again.slug");
    place
        .run([
            "build",
            site.to_str().unwrap(),
            "-o",
            again.to_str().unwrap(),
        ])
        .await
        .succeeded();
    assert!(
        fs::read(&again).unwrap() == whole,
        "the same source made other bytes"
    );

    // Past the layout's small files, in the largest blob.
    let mut flipped = whole.clone();
    let place_in_blob = whole.len() - whole.len() / 4;
    flipped[place_in_blob] ^= 0x01;
    for (what, bytes, reason) in [
        ("a changed byte", flipped, "its bytes have the digest"),
        (
            "half a slug",
            whole[..whole.len() / 2].to_vec(),
            "the data ends too early",
        ),
        ("no slug at all", b"hello".to_vec(), ""),
        ("nothing", Vec::new(), ""),
    ] {
        fs::write(&slug, bytes).unwrap();
        eprintln!("--- {what}");
        place
            .run(["inspect", slug_path])
            .await
            .ended_with(1, &["site.slug is refused", reason]);
    }
}
