//! Requests: CPU, stack, handles, headers, bodies, traps.

use crate::place::{Place, get, text, until};
use bytes::Bytes;
use dyno_runtime::limits::QUEUE_PER_DYNO_MAX;
use dyno_runtime::{CallError, Dyno, DynoSize};
use http_body_util::{BodyExt, Full};
use std::time::Duration;
use tokio::task::JoinSet;
use tower::ServiceExt;

async fn gone(place: Place, dyno: Dyno) {
    dyno.stop(Duration::ZERO).await;
    drop(dyno);
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_crashes_its_dyno_and_says_why() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("trap", DynoSize::default()).await;
    let mut request = get("/");
    let id = http::HeaderValue::from_static("0af7-651916cd");
    request.headers_mut().insert("x-request-id", id);
    let error = dyno.clone().oneshot(request).await.unwrap_err();
    let CallError::NoResponse { reason } = error else {
        panic!("{error}")
    };
    assert_eq!(reason, "wasm trap: wasm `unreachable` instruction executed");
    lines.wait_for("Process exited with status 134").await;
    lines.wait_for("State changed from starting to up").await;
    let said = lines.app();
    assert_eq!(
        said[0],
        format!("error: request 0af7-651916cd ended the process (H13): {reason}")
    );
    let frames = said[1..].join("\n");
    // The names of the functions, and the line of the source.
    assert!(frames.contains("explode"), "{frames}");
    assert!(frames.contains("trap.wat:"), "{frames}");
    assert!(!frames.contains("Stack backtrace"), "{frames}");
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_returns_nothing_gives_no_response_and_lives_on() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("no_response", DynoSize::default()).await;
    for _ in 0..2 {
        let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
        assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    }
    assert_eq!(lines.platform().len(), 2, "{:?}", lines.platform());
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_spin_leave_their_neighbours_alone_and_end_with_their_clients() {
    let place = Place::new().await;
    let (dyno, _) = place.web("spin", DynoSize::default()).await;
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(dyno.clone().oneshot(get("/"))))
        .collect();
    until("all of them spin", || dyno.in_flight(), |count| *count == 4).await;
    for _ in 0..20 {
        place.neighbour_answers().await;
    }
    for client in clients {
        client.abort();
    }
    until(
        "the guests are dropped",
        || dyno.in_flight(),
        |count| *count == 0,
    )
    .await;
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_queue_for_a_busy_dyno_up_to_a_bound() {
    let place = Place::new().await;
    let size = DynoSize {
        concurrency: 1,
        ..DynoSize::default()
    };
    let (dyno, _) = place.web("spin", size).await;
    let mut clients = JoinSet::new();
    clients.spawn(dyno.clone().oneshot(get("/")));
    until("it spins", || dyno.in_flight(), |count| *count == 1).await;
    for _ in 0..QUEUE_PER_DYNO_MAX {
        clients.spawn(dyno.clone().oneshot(get("/")));
    }
    until(
        "the queue is full",
        || dyno.in_flight(),
        |count| *count == QUEUE_PER_DYNO_MAX + 1,
    )
    .await;
    let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::QueueFull), "{error}");
    clients.shutdown().await;
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_is_never_taken_for_a_whole_one() {
    let place = Place::new().await;
    let (dyno, _) = place.web("half_body", DynoSize::default()).await;
    let response = dyno.clone().oneshot(get("/")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_recursion_is_a_trap_and_not_the_hosts_end() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("deep_recursion", DynoSize::default()).await;
    dyno.clone().oneshot(get("/")).await.unwrap_err();
    lines.wait_for("Process exited with status 134").await;
    let words = lines.app().join("\n");
    assert!(words.contains("stack"), "{words}");
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_hoards_timers_meets_the_bound_of_its_table() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("leak_handles", DynoSize::default()).await;
    let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    lines.wait_for("Process exited with status 134").await;
    let words = lines.app().join("\n");
    assert!(words.contains("resource table has no free keys"), "{words}");
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_refused() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("endless_headers", DynoSize::default()).await;
    let answer = dyno.clone().oneshot(get("/")).await;
    // The guest gives out what was taken when it is refused more, or it is ended for asking.
    match answer {
        Ok(response) => {
            let bytes: usize = response
                .headers()
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum();
            assert!(bytes <= 64 * 1024, "{bytes}");
        }
        Err(error) => {
            assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
            lines.wait_for("Process exited with status 134").await;
        }
    }
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_stops_with_its_reader() {
    let place = Place::new().await;
    let (dyno, _) = place.web("endless_body", DynoSize::default()).await;
    let response = dyno.clone().oneshot(get("/")).await.unwrap();
    let mut body = response.into_body();
    let mut read = 0;
    while read < 8 << 20 {
        read += body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len();
    }
    drop(body);
    until(
        "the guest is dropped",
        || dyno.in_flight(),
        |count| *count == 0,
    )
    .await;
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_guest_never_reads_holds_nobody_up() {
    let place = Place::new().await;
    let (dyno, _) = place.web("hello", DynoSize::default()).await;
    for _ in 0..8 {
        let request = http::Request::post("/")
            .header("host", "test.localhost")
            .body(Full::new(Bytes::from(vec![b'x'; 8 << 20])))
            .unwrap();
        let response = dyno.clone().oneshot(request).await.unwrap();
        assert_eq!(text(response).await, "hello, world!\n");
    }
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_spins_before_it_is_up_is_killed_in_time() {
    let place = Place::new().await;
    let timeout = Duration::from_millis(500);
    let (dyno, lines) = place
        .starting("spin_at_start", DynoSize::default(), timeout)
        .await;
    lines
        .wait_for("State changed from starting to crashed")
        .await;
    assert_eq!(
        lines.platform()[1..4],
        [
            "Error R10 (Boot timeout) -> Web process failed to start within 0.5 seconds of launch",
            "Stopping process with SIGKILL",
            "Process exited with status 137",
        ]
    );
    gone(place, dyno).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_ends_is_cut_when_its_grace_is_over() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("spin", DynoSize::default()).await;
    let client = tokio::spawn(dyno.clone().oneshot(get("/")));
    until("it spins", || dyno.in_flight(), |count| *count == 1).await;
    dyno.stop(Duration::from_secs(1)).await;
    assert!(client.await.unwrap().is_err());
    assert_eq!(
        lines.platform()[2..5],
        [
            "Stopping all processes with SIGTERM",
            "Error R12 (Exit timeout) -> At least one process failed to exit within 1 second of SIGTERM",
            "Stopping remaining processes with SIGKILL",
        ]
    );
    drop(dyno);
    place.leaves_nothing().await;
}
