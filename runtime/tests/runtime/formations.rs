//! Formations: spreading, scaling, draining.

use crate::app::{Host, get, text};
use dyno_runtime::{CallError, Formation, FormationOptions};
use std::time::Duration;
use tower::ServiceExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_formation_waits_for_its_first_dyno_and_scales_to_nothing() {
    let host = Host::new();
    let process = host.process("hello").await;
    let formation = Formation::start(
        &host.runtime,
        &process,
        FormationOptions {
            quantity: 3,
            ..FormationOptions::default()
        },
    );
    let names: Vec<_> = formation
        .dynos()
        .iter()
        .map(|dyno| dyno.name().to_owned())
        .collect();
    assert_eq!(names, ["web.1", "web.2", "web.3"]);
    let response = formation.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    formation.scale(0, Duration::from_secs(5)).await;
    let error = formation.clone().oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::NotUp(_)), "{error}");
}
