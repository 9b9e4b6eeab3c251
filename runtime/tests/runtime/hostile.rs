//! Guests that misbehave: each meets its bound, and nobody else notices.

use crate::app::{Host, get, text, until};
use dyno_runtime::CallError;
use http_body_util::BodyExt;
use std::time::Duration;
use tower::ServiceExt;

/// The documented bound of a log line, in bytes.
const LOG_LINE_BYTES_MAX: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_crashes_its_dyno_and_says_why() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("trap").await;
    let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    until("the dyno is restarted", || lines.platform().len() == 7).await;
    assert_eq!(lines.platform()[2], "Process exited with status 134");
    let words = lines.app().join("\n");
    assert!(words.contains("unreachable"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_returns_nothing_gives_no_response_and_lives_on() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("no_response").await;
    for _ in 0..2 {
        let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
        assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
    }
    assert_eq!(lines.platform().len(), 2, "{:?}", lines.platform());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_spin_leave_their_neighbours_alone_and_end_with_their_clients() {
    let host = Host::new();
    let (spinning, _) = host.dyno("spin").await;
    let (neighbour, _) = host.dyno("hello").await;
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(spinning.clone().oneshot(get("/"))))
        .collect();
    until("all of them spin", || spinning.in_flight() == 4).await;
    for _ in 0..20 {
        let answer = neighbour.clone().oneshot(get("/"));
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        assert_eq!(text(answer.unwrap().unwrap()).await, "hello, world!\n");
    }
    for client in clients {
        client.abort();
    }
    until("the guests are dropped", || spinning.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stops_at_the_dynos_quota_and_the_log_says_so() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("grow_memory").await;
    let megabytes = dyno.size().memory_bytes_max >> 20;
    dyno.clone().oneshot(get("/")).await.unwrap_err();
    let quota = "Error R14 (Memory quota exceeded)";
    until("the quota is logged", || {
        lines.platform().iter().any(|line| line == quota)
    })
    .await;
    let used = lines
        .platform()
        .into_iter()
        .find(|line| line.contains("mem="))
        .unwrap();
    assert!(used.ends_with(&format!(" of {megabytes}M")), "{used}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_is_never_taken_for_a_whole_one() {
    let host = Host::new();
    let (dyno, _) = host.dyno("half_body").await;
    let response = dyno.clone().oneshot(get("/")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn output_without_a_newline_is_cut_into_lines() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("print_forever").await;
    let client = tokio::spawn(dyno.clone().oneshot(get("/")));
    until("some lines are there", || lines.app().len() >= 5).await;
    client.abort();
    until("the guest is dropped", || dyno.in_flight() == 0).await;
    let longest = lines.app().iter().map(String::len).max().unwrap();
    assert!(longest <= LOG_LINE_BYTES_MAX, "{longest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_recursion_is_a_trap_and_not_the_hosts_end() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("deep_recursion").await;
    dyno.clone().oneshot(get("/")).await.unwrap_err();
    until("the dyno is restarted", || lines.platform().len() == 7).await;
    assert!(
        lines.app().join("\n").contains("stack"),
        "{:?}",
        lines.app()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_hoards_handles_meets_its_bound() {
    let host = Host::new();
    let (dyno, _) = host.dyno("leak_handles").await;
    let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
}
