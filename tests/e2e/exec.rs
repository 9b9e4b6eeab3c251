//! `dyno exec`: exit codes, what a guest sees, and a handler that is served.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::app::App;
use crate::limits::START_MAX;
use crate::place::Place;
use crate::process::{Finished, Process, Stream};
use crate::sources::{
    command_component, copies_input, environment_printer, example, exits_with, spins, traps,
};

/// Files to run, beside a cache of their own.
struct Bench {
    place: Place,
}

impl Bench {
    fn new() -> Self {
        Self {
            place: Place::new(),
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.place.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let cache = self.place.path().join("cache");
        let mut command = self.place.command(["exec"]);
        Process::start(command.args(arguments).env("XDG_CACHE_HOME", cache))
    }

    /// With its streams in the test's hands.
    fn pipe(&self, arguments: &[&str]) -> Child {
        let cache = self.place.path().join("cache");
        let mut command = self.place.command(["exec"]);
        command
            .args(arguments)
            .env("XDG_CACHE_HOME", cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    async fn exec(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).end(START_MAX).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_of_a_guest_is_ours() {
    let bench = Bench::new();
    for (name, bytes, code, phrase) in [
        ("zero.wasm", exits_with(0), 0, ""),
        ("seven.wasm", exits_with(7), 7, ""),
        ("all.wasm", exits_with(255), 255, ""),
        ("component.wasm", command_component(None), 0, ""),
        ("trap.wasm", traps(), 134, "the guest trapped"),
        ("not.wasm", b"#!/bin/sh".to_vec(), 1, "not a wasm file"),
        (
            "needy.wasm",
            command_component(Some("acme:telemetry/collector@1.0.0")),
            1,
            "imports what dyno does not provide: acme:telemetry/collector@1.0.0",
        ),
    ] {
        eprintln!("--- {name}");
        let file = bench.file(name, &bytes);
        bench
            .exec(&[file.to_str().unwrap()])
            .await
            .ended_with(code, &[phrase]);
    }
    let missing = bench.place.path().join("missing.wasm");
    bench
        .exec(&[missing.to_str().unwrap()])
        .await
        .ended_with(1, &["missing.wasm cannot be read"]);
}

#[test]
fn a_guest_reads_our_input_and_writes_our_output_whatever_the_amount() {
    let bench = Bench::new();
    let file = bench.file("copies.wasm", &copies_input());
    let mut child = bench.pipe(&[file.to_str().unwrap()]);
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251).to_le_bytes()[0])
        .collect();
    let (mut input, body) = (child.stdin.take().unwrap(), sent.clone());
    let writing = std::thread::spawn(move || input.write_all(&body));
    let mut received = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut received)
        .unwrap();
    writing.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(
        received == sent,
        "{} of {} bytes",
        received.len(),
        sent.len()
    );
}

#[test]
fn a_reader_that_has_gone_is_the_guests_to_handle() {
    let bench = Bench::new();
    let file = bench.file("copies.wasm", &copies_input());
    let mut child = bench.pipe(&[file.to_str().unwrap()]);
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    // A whole line: what is less may wait in the host for the rest of it.
    input.write_all(b"nobody reads this\n").unwrap();
    drop(input);
    // The guest ends with 3 when it cannot write.
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_a_guest_with_the_signals_status() {
    let bench = Bench::new();
    let file = bench.file("spins.wasm", &spins());
    for (is_interrupt, code) in [(true, 130), (false, 143)] {
        let mut running = bench.start(&[file.to_str().unwrap()]);
        let spinning = |_, text: &str| text == "spinning";
        running.line("its output", START_MAX, spinning).await;
        let ended = if is_interrupt {
            running.interrupt().await
        } else {
            running.terminate().await
        };
        ended.ended_with(code, &[]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_sees_the_variables_it_was_given_and_no_other() {
    let bench = Bench::new();
    let file = bench.file("environment.wasm", &environment_printer());
    let ended = bench
        .exec(&[
            "--env",
            "GREETING=Servus",
            "--env",
            "EMPTY=",
            file.to_str().unwrap(),
        ])
        .await;
    let output = ended.succeeded().output;
    let mut variables: Vec<&str> = output
        .split('\0')
        .filter(|variable| !variable.trim().is_empty())
        .collect();
    variables.sort_unstable();
    assert_eq!(variables, ["EMPTY=", "GREETING=Servus"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_served_until_a_signal() {
    let bench = Bench::new();
    let hello = example("c-hello").join("hello.wasm");
    let mut serving = bench.start(&[hello.to_str().unwrap()]);
    let is_address =
        |stream, text: &str| stream == Stream::Error && text.starts_with("http://127.0.0.1:");
    let line = serving.line("the address", START_MAX, is_address).await;
    let address = line.trim_start_matches("http://").trim_end_matches('/');
    let address: SocketAddr = address.parse().unwrap();
    let app = App::with_host(&address.to_string(), address);
    let hello = app.get("/hello?name=World").await.with_status(200);
    assert_eq!(hello.text().trim_end(), "Hello, World!");
    serving.interrupt().await.succeeded();
}
