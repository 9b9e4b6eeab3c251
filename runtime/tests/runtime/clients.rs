//! Clients that leave, hosts that fail, bodies that nobody reads: a call ends, and only that call.

use crate::app::{Host, get, post, text, until, wait_for};
use dyno_runtime::{
    CallError, Dyno, DynoOptions, DynoState, LogLine, LogSink, LogSource, RequestBody,
};
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tower::ServiceExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_head_frees_its_place() {
    let host = Host::new();
    // One waits for I/O where it was called, the other computes on the guest threads.
    for guest in ["never_answer", "spin"] {
        let (dyno, lines) = host.dyno(guest).await;
        let client = tokio::spawn(dyno.clone().oneshot(get("/")));
        until("the guest is called", || dyno.in_flight() == 1).await;
        client.abort();
        until("the guest is dropped", || dyno.in_flight() == 0).await;
        assert_eq!(dyno.memory_used(), 0, "{guest}");
        assert_eq!(lines.platform().len(), 2, "{:?}", lines.platform());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_mid_body_frees_its_place() {
    let host = Host::new();
    let (dyno, _) = host.dyno("endless_body").await;
    let mut response = dyno.clone().oneshot(get("/")).await.unwrap();
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert!(frame.is_data());
    assert_eq!(dyno.in_flight(), 1);
    drop(response);
    until("the guest is dropped", || dyno.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_read_is_dropped_with_its_call() {
    let host = Host::new();
    let (dyno, _) = host.dyno("never_answer").await;
    let mut response = dyno.clone().oneshot(get("/"));
    // Polled once, so that the guest has begun.
    assert!(futures::poll!(&mut response).is_pending());
    dyno.stop(Duration::ZERO).await;
    let error = response.await.unwrap_err();
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    assert_eq!(dyno.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_without_reading_its_request_whose_body_is_let_go() {
    /// Tells when the body that holds it is dropped.
    struct Held(Arc<AtomicBool>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let host = Host::new();
    let (dyno, _) = host.dyno("hello").await;
    let dropped = Arc::new(AtomicBool::new(false));
    let held = Held(dropped.clone());
    let endless = futures::stream::repeat_with(move || {
        let _held = &held;
        Ok(http_body::Frame::data(bytes::Bytes::from_static(
            b"more and more",
        )))
    });
    let body: RequestBody = StreamBody::new(endless).boxed_unsync();
    let request = post("/", "").map(|_| body);
    let response = dyno.clone().oneshot(request).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    until("the body is let go", || dropped.load(Ordering::Acquire)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_host_call_ends_its_dyno_and_nobody_elses() {
    /// Takes the first line of an app badly.
    #[derive(Default)]
    struct Panics(AtomicBool);
    impl LogSink for Panics {
        fn write(&self, line: LogLine) {
            let first = line.source == LogSource::App && !self.0.swap(true, Ordering::AcqRel);
            assert!(!first, "no lines, please");
        }
    }
    let host = Host::new();
    let process = host.process("print_forever").await;
    let options = DynoOptions {
        log: Arc::new(Panics::default()),
        ..DynoOptions::new("web.1")
    };
    let dyno = Dyno::start(&host.runtime, &process, options);
    wait_for(&dyno, DynoState::Up).await;
    let (neighbour, _) = host.dyno("hello").await;
    let mut states = dyno.watch();
    states.mark_unchanged();
    let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
    let CallError::NoResponse { reason } = error else {
        panic!("{error}")
    };
    assert!(reason.contains("no lines, please"), "{reason}");
    until("the dyno is restarted", || {
        states.has_changed().unwrap() && dyno.state() == DynoState::Up
    })
    .await;
    let response = neighbour.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_is_counted_for_the_dyno_that_used_it() {
    let host = Host::new();
    let (spinning, _) = host.dyno("spin").await;
    let (quiet, _) = host.dyno("never_answer").await;
    let clients = [&spinning, &quiet].map(|dyno| tokio::spawn(dyno.clone().oneshot(get("/"))));
    let much = Duration::from_millis(200);
    until("the loop is counted", || spinning.cpu_used() > much).await;
    assert!(quiet.cpu_used() < much / 2, "{:?}", quiet.cpu_used());
    for client in clients {
        client.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_loops_while_it_starts_leaves_its_neighbours_alone() {
    let host = Host::new();
    let process = host.process("spin_at_start").await;
    let starting = Dyno::start(&host.runtime, &process, DynoOptions::new("web.1"));
    until("it computes", || {
        starting.cpu_used() > Duration::from_millis(20)
    })
    .await;
    let (neighbour, _) = host.dyno("hello").await;
    let response = neighbour.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    starting.stop(Duration::ZERO).await;
    assert_eq!(starting.state(), DynoState::Down);
    let used = starting.cpu_used();
    let (another, _) = host.dyno("hello").await;
    another.clone().oneshot(get("/")).await.unwrap();
    assert!(starting.cpu_used() < used + Duration::from_millis(50));
}
