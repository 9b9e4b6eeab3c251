//! Web processes that listen on `$PORT`: `tests/guests/port_server.wat` serves one connection after the other.

use crate::app::{Lines, PATIENCE, get, text, until, wait_for};
use bytes::Bytes;
use dyno_runtime::{
    CallError, Dyno, DynoOptions, DynoState, Process, ProcessSpec, Runtime, RuntimeOptions,
};
use dyno_slug::{FileSource, ProcessSource, SlugBuilder, SlugStore, World};
use futures::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::ServiceExt;

/// Runs for ever and listens nowhere.
const DEAF: &str = r#"(component
  (core module $Main (func (export "run") (result i32) (loop $forever (br $forever)) unreachable))
  (core instance $main (instantiate $Main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.12" (instance $command)))"#;

const BODY_BYTES: usize = 5_000_000;

struct Started {
    dyno: Dyno,
    lines: Arc<Lines>,
    _directory: TempDir,
}

/// A `web` dyno of a command.
async fn start(text: &str, start_timeout: Duration) -> Started {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let mut options = RuntimeOptions::new(place("state"));
    options.instance_slots_max = 16;
    let runtime = Runtime::new(options).unwrap();
    std::fs::create_dir_all(place("app")).unwrap();
    std::fs::write(place("server.wasm"), wat::parse_str(text).unwrap()).unwrap();
    SlugBuilder::new(FileSource::new(place("app")))
        .buildpack("wasm", "0")
        .process(
            "web".parse().unwrap(),
            ProcessSource::new("server.wasm", World::Command).component(place("server.wasm")),
        )
        .write(place("server.slug"))
        .unwrap();
    let slug = SlugStore::open(place("slugs"))
        .unwrap()
        .import(place("server.slug"))
        .unwrap();
    let spec = ProcessSpec::new("test", slug, "web".parse().unwrap());
    let process = Process::load(&runtime, spec).await.unwrap();
    let lines = Arc::new(Lines::default());
    let options = DynoOptions {
        log: lines.clone(),
        start_timeout,
        ..DynoOptions::new("web.1")
    };
    let dyno = Dyno::start(&runtime, &process, options);
    Started {
        dyno,
        lines,
        _directory: directory,
    }
}

/// A dyno of the server, once it takes requests.
async fn server() -> Started {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/port_server.wat");
    let started = start(&std::fs::read_to_string(path).unwrap(), PATIENCE).await;
    wait_for(&started.dyno, DynoState::Up).await;
    started
}

async fn ask(dyno: &Dyno, path: &str) -> String {
    let answer = tokio::time::timeout(PATIENCE, dyno.clone().oneshot(get(path))).await;
    text(answer.expect("an answer in time").unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_is_up_when_its_process_listens_and_answers_on_kept_connections() {
    let Started { dyno, lines, .. } = &server().await;
    for _ in 0..3 {
        assert_eq!(ask(dyno, "/keep").await, "hi\n");
    }
    assert_eq!(
        lines.platform(),
        [
            "Starting process with command `server.wasm`",
            "State changed from starting to up"
        ]
    );
    until("the requests are over", || dyno.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_takes_one_connection_at_a_time_serves_many_clients() {
    let Started { dyno, .. } = &server().await;
    let clients = (0..16).map(|_| async {
        for _ in 0..4 {
            assert_eq!(ask(dyno, "/keep").await, "hi\n");
        }
    });
    futures::future::join_all(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_process_has_closed_costs_no_request() {
    let Started { dyno, .. } = &server().await;
    for _ in 0..50 {
        assert_eq!(ask(dyno, "/close").await, "hi\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_in_both_directions_at_once() {
    let Started { dyno, .. } = &server().await;
    let sent: Bytes = (0..BODY_BYTES)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let request = http::Request::post("/post")
        .header("host", "test.localhost")
        .body(Full::from(sent.clone()))
        .unwrap();
    let response = dyno.clone().oneshot(request).await.unwrap();
    let answered = response.into_body().collect().await.unwrap().to_bytes();
    assert!(answered == sent, "{} bytes came back", answered.len());
    let large = dyno.clone().oneshot(get("/large")).await.unwrap();
    let bytes = large.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes.len(), BODY_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_the_process() {
    let Started { dyno, .. } = &server().await;
    let client = tokio::spawn(dyno.clone().oneshot(get("/hang")));
    until("the request is there", || dyno.in_flight() == 1).await;
    client.abort();
    assert_eq!(ask(dyno, "/keep").await, "hi\n");
    let response = dyno.clone().oneshot(get("/large")).await.unwrap();
    drop(response);
    assert_eq!(ask(dyno, "/keep").await, "hi\n");
    until("the requests are over", || dyno.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_crashes_its_dyno_which_is_restarted() {
    let Started { dyno, lines, .. } = &server().await;
    let error = dyno.clone().oneshot(get("/exit")).await.unwrap_err();
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    until("the dyno is restarted", || lines.platform().len() == 7).await;
    assert_eq!(
        lines.platform()[2..],
        [
            "Process exited with status 1",
            "State changed from up to crashed",
            "State changed from crashed to starting",
            "Starting process with command `server.wasm`",
            "State changed from starting to up",
        ]
    );
    assert_eq!(ask(dyno, "/keep").await, "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_listen_in_time_has_crashed() {
    let Started { dyno, lines, .. } = &start(DEAF, Duration::from_millis(50)).await;
    wait_for(dyno, DynoState::Crashed).await;
    let words = "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 0.05 seconds of launch";
    assert_eq!(lines.platform()[1], words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bind_elsewhere_is_refused_and_logged_once() {
    let Started { dyno, lines, .. } = &server().await;
    for _ in 0..3 {
        assert_eq!(ask(dyno, "/metrics").await, "hi\n");
    }
    let bad = |lines: &Lines| {
        let platform = lines.platform().into_iter();
        platform
            .filter(|line| line.contains("R11"))
            .collect::<Vec<_>>()
    };
    until("the bind is logged", || !bad(lines).is_empty()).await;
    assert_eq!(
        bad(lines),
        [
            "Error R11 (Bad bind) -> Process tried to listen on 0.0.0.0:9090, should be 0.0.0.0:$PORT (5000)"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_backlog_are_turned_away() {
    let Started { dyno, .. } = &server().await;
    let mut waiting = Vec::new();
    let error = loop {
        let mut call = Box::pin(dyno.clone().oneshot(get("/hang")));
        match (&mut call).now_or_never() {
            None => waiting.push(call),
            Some(answer) => break answer.unwrap_err(),
        }
        assert!(waiting.len() < 1000, "no bound");
    };
    assert!(matches!(error, CallError::QueueFull), "{error}");
    // One more when the process was quick enough to accept the first.
    let backlog = dyno_sandbox::limits::BACKLOG_MAX;
    assert!((backlog..=backlog + 1).contains(&waiting.len()));
    drop(waiting);
    assert_eq!(ask(dyno, "/keep").await, "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_responses_and_ends_the_process() {
    let Started { dyno, lines, .. } = &server().await;
    let streaming = dyno.clone().oneshot(get("/large")).await.unwrap();
    let stop = dyno.stop(PATIENCE);
    let (body, ()) = tokio::join!(streaming.into_body().collect(), stop);
    assert_eq!(body.unwrap().to_bytes().len(), BODY_BYTES);
    let said = lines.platform();
    assert!(!said.iter().any(|line| line.contains("R12")), "{said:?}");
    let error = dyno.clone().oneshot(get("/keep")).await.unwrap_err();
    assert!(matches!(error, CallError::NotUp(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_cuts_a_request_that_takes_too_long() {
    let Started { dyno, lines, .. } = &server().await;
    let client = tokio::spawn(dyno.clone().oneshot(get("/hang")));
    until("the request is there", || dyno.in_flight() == 1).await;
    dyno.stop(Duration::from_millis(50)).await;
    let error = client.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    let said = lines.platform();
    assert!(said.iter().any(|line| line.contains("R12")), "{said:?}");
}

/// A client's connection to a server that gives its requests to the dyno.
fn connect(dyno: &Dyno) -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 16);
    let dyno = dyno.clone();
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let answer = dyno.clone().oneshot(request);
            async move { answer.await.map_err(|error| error.to_string()) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service);
        connection.with_upgrades().await
    });
    client
}

async fn upgrade(dyno: &Dyno) -> DuplexStream {
    let mut client = connect(dyno);
    client
        .write_all(
            b"GET /upgrade HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: echo\r\n"), "{head}");
    client.write_all(b"said and echoed").await.unwrap();
    let mut echo = [0; 15];
    client.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"said and echoed");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_passes_bytes_until_the_client_ends_it() {
    let Started { dyno, .. } = &server().await;
    let client = upgrade(dyno).await;
    assert_eq!(dyno.in_flight(), 1);
    drop(client);
    until("the tunnel has ended", || dyno.in_flight() == 0).await;
    assert_eq!(ask(dyno, "/keep").await, "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_does_not_hold_up_a_stop() {
    let Started { dyno, lines, .. } = &server().await;
    let mut client = upgrade(dyno).await;
    dyno.stop(PATIENCE).await;
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    let said = lines.platform();
    assert!(!said.iter().any(|line| line.contains("R12")), "{said:?}");
}
