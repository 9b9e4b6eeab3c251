//! A disk that is full in the middle: refused in words, and nothing half-written.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::app::App;
use crate::limits::START_MAX;
use crate::place::{ANY_PORT, Place, address_in};
use crate::process::{Process, Stream};
use crate::sources::example;

const APP: &str = "c-hello";

/// The library that makes the disk full, compiled beside the data directory.
fn full_disk(place: &Place) -> PathBuf {
    let library = place.path().join("full_disk.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/full_disk.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl");
    let output = compiler
        .output()
        .expect("a C compiler, which the project needs anyway");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_on_a_full_disk_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let (up, _) = place.up(&example(APP), APP).await;
    up.interrupt().await.succeeded();

    let flag = place.path().join("disk-is-full");
    let mut command = place.command(["serve", "--listen", ANY_PORT]);
    command
        .env("LD_PRELOAD", full_disk(&place))
        .env("FULL_DISK_WHILE", &flag);
    let mut serve = Process::start(&mut command);
    let is_ready = |stream, text: &str| stream == Stream::Output && text.starts_with("ready ");
    let line = serve
        .line("the line that begins `ready `", START_MAX, is_ready)
        .await;
    let app = App::new(APP, address_in(&line).unwrap());
    app.answers_at("/").await;

    fs::write(&flag, "").unwrap();
    let refused = place
        .run(["config:set", "GREETING=Servus", "--app", APP])
        .await;
    refused.ended_with(1, &["is full; nothing was changed", "hint:"]);
    app.get("/environment?name=GREETING").await.with_status(404);
    fs::remove_file(&flag).unwrap();
    let releases = place
        .run(["releases", "--app", APP])
        .await
        .succeeded()
        .output;
    assert!(
        releases.contains("Current: v1") && !releases.contains("v2"),
        "{releases}"
    );
    serve.kill();

    // Neither the running platform nor the next one finds anything of it, and the next release is whole.
    let (serve, app) = place.serve_app(APP).await;
    let vars = place.run(["config", "--app", APP]).await.succeeded().output;
    assert!(!vars.contains("GREETING"), "{vars}");
    place
        .run(["config:set", "GREETING=Servus", "--app", APP])
        .await
        .succeeded();
    app.answers_at("/environment?name=GREETING").await;
    serve.interrupt().await.succeeded();
}
