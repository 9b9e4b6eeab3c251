//! Memory: linear memories and tables.

use crate::place::{Place, get, until, with_memory};
use dyno_runtime::{Dyno, DynoOptions, DynoSize, DynoState, ExitStatus};
use dyno_slug::World;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_far_over_its_quota_is_killed_and_restarted() {
    far_over("grow_memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_of_0_3_far_over_its_quota_is_killed_and_restarted() {
    far_over("grow_memory_03").await;
}

async fn far_over(guest: &str) {
    let place = Place::new().await;
    let (dyno, lines) = place.web(guest, with_memory(64 << 20)).await;
    dyno.clone().oneshot(get("/")).await.unwrap_err();
    lines
        .wait_for("State changed from crashed to starting")
        .await;
    let said = lines.platform();
    let at = |words: &str| {
        said.iter()
            .position(|line| line.contains(words))
            .unwrap_or_else(|| panic!("no {words} in {said:#?}"))
    };
    let order = [
        at("Error R15 (Memory quota vastly exceeded)"),
        at("Stopping process with SIGKILL"),
        at("Process exited with status 137"),
        at("State changed from up to crashed"),
    ];
    assert!(order.is_sorted(), "{said:#?}");
    assert!(
        said[at("Error R15") - 1].starts_with("Process running mem=12"),
        "{said:#?}"
    );
    until(
        "it is up again",
        || lines.platform().join("\n"),
        |_| dyno.state() == DynoState::Up,
    )
    .await;
    dyno.stop(Duration::ZERO).await;
    drop(dyno);
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_over_its_quota_is_told_of_it_once_in_a_while_and_goes_on() {
    let place = Place::new().await;
    let process = place.process("grow_slowly", World::Command).await;
    let lines = Arc::new(crate::place::Lines::default());
    let options = DynoOptions {
        size: with_memory(16 << 20),
        log: lines.clone(),
        ..DynoOptions::new("worker.1")
    };
    let dyno = Dyno::start(&place.runtime, &process, options);
    lines.wait_for("Error R14 (Memory quota exceeded)").await;
    until("it goes on", || lines.app().len(), |count| *count > 100).await;
    assert_eq!(dyno.state(), DynoState::Up);
    let warnings = lines
        .platform()
        .iter()
        .filter(|line| line.contains("R14"))
        .count();
    assert_eq!(warnings, 1, "{:#?}", lines.platform());
    place.neighbour_answers().await;
    dyno.stop(Duration::ZERO).await;
    drop((dyno, process));
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_a_bound() {
    let place = Place::new().await;
    let (exit, lines) = place.run("grow_table", DynoSize::default()).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), ["99"]);
    place.leaves_nothing().await;
}
