//! Single dynos: states, answers, crashes, bounds.

use crate::app::{Host, get, text, wait_for};
use dyno_runtime::{CallError, DynoState};
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
