//! Single dynos: states, answers, crashes, bounds.

use crate::app::{Host, get, post, text, until, wait_for};
use dyno_runtime::{CallError, DynoState};
use http_body_util::BodyExt;
use std::time::Duration;
use tower::ServiceExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_answers_from_a_warm_instance_and_logs_as_heroku_does() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("hello").await;
    for _ in 0..3 {
        let response = dyno.clone().oneshot(get("/")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, "hello, world!\n");
    }
    assert_eq!(
        lines.platform(),
        [
            "Starting process with command `hello.wasm`",
            "State changed from starting to up"
        ]
    );
    assert_eq!(dyno.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_dyno_hands_requests_back() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("hello").await;
    dyno.stop(Duration::from_secs(5)).await;
    assert_eq!(dyno.state(), DynoState::Down);
    let error = dyno.clone().oneshot(get("/again")).await.unwrap_err();
    let CallError::NotUp(request) = error else {
        panic!("{error}")
    };
    assert_eq!(request.uri().path(), "/again");
    assert_eq!(
        lines.platform().last().unwrap(),
        "State changed from up to down"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_stopped_dyno_are_removed() {
    let host = Host::new();
    let (dyno, _) = host.dyno("hello").await;
    let scratch = host.directory.path().join("state/dynos");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 1);
    dyno.stop(Duration::ZERO).await;
    wait_for(&dyno, DynoState::Down).await;
    drop(dyno);
    let deadline = std::time::Instant::now() + crate::app::PATIENCE;
    while std::fs::read_dir(&scratch).unwrap().count() > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the dyno's files are still there"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_in_and_out() {
    let host = Host::new();
    let (dyno, _) = host.dyno("c-hello").await;
    let response = dyno
        .clone()
        .oneshot(post("/echo", "in and out"))
        .await
        .unwrap();
    assert_eq!(text(response).await, "in and out");
    let response = dyno
        .clone()
        .oneshot(get("/large?bytes=5000000"))
        .await
        .unwrap();
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len(),
        5_000_000
    );
    until("the guest is done", || dyno.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_exits_crashes_its_dyno_which_is_restarted_at_once() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("c-hello").await;
    let error = dyno.clone().oneshot(get("/crash")).await.unwrap_err();
    let CallError::NoResponse { reason } = error else {
        panic!("{error}")
    };
    assert_eq!(reason, "the process exited with status 1");
    until("the dyno is restarted", || lines.platform().len() == 7).await;
    assert_eq!(
        lines.platform()[2..],
        [
            "Process exited with status 1",
            "State changed from up to crashed",
            "State changed from crashed to starting",
            "Starting process with command `c-hello.wasm`",
            "State changed from starting to up",
        ]
    );
    assert_eq!(lines.app(), ["crashing, as asked"]);
    let response = dyno.clone().oneshot(get("/random")).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_another_clients_response_alone() {
    let host = Host::new();
    let (dyno, _) = host.dyno("c-hello").await;
    let streaming = dyno
        .clone()
        .oneshot(get("/large?bytes=5000000"))
        .await
        .unwrap();
    dyno.clone().oneshot(get("/crash")).await.unwrap_err();
    let body = streaming.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 5_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_place() {
    let host = Host::new();
    let (dyno, _) = host.dyno("c-hello").await;
    let response = dyno
        .clone()
        .oneshot(get("/large?bytes=500000000"))
        .await
        .unwrap();
    assert_eq!(dyno.in_flight(), 1);
    drop(response);
    until("the guest is dropped", || dyno.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_responses_and_cuts_those_that_take_too_long() {
    let host = Host::new();
    let (dyno, lines) = host.dyno("c-hello").await;
    let streaming = dyno
        .clone()
        .oneshot(get("/large?bytes=5000000"))
        .await
        .unwrap();
    let stop = dyno.stop(Duration::from_secs(60));
    let (body, ()) = tokio::join!(streaming.into_body().collect(), stop);
    assert_eq!(body.unwrap().to_bytes().len(), 5_000_000);

    let (dyno, slow_lines) = host.dyno("c-hello").await;
    let streaming = dyno
        .clone()
        .oneshot(get("/large?bytes=5000000"))
        .await
        .unwrap();
    dyno.stop(Duration::from_millis(50)).await;
    assert!(streaming.into_body().collect().await.is_err());
    assert!(!lines.platform().iter().any(|line| line.contains("R12")));
    assert!(
        slow_lines
            .platform()
            .iter()
            .any(|line| line.contains("R12"))
    );
}
