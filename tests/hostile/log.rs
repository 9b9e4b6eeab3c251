//! Log: rate, and length of a line.

use crate::place::{Place, get, until};
use dyno_runtime::{DynoSize, ExitStatus};
use std::time::Duration;
use tower::ServiceExt;

/// The documented bound of a log line, in bytes.
const LOG_LINE_BYTES_MAX: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn output_without_a_newline_is_cut_into_lines_and_a_flood_is_counted_and_dropped() {
    let place = Place::new().await;
    let (dyno, lines) = place.web("print_forever", DynoSize::default()).await;
    let client = tokio::spawn(dyno.clone().oneshot(get("/")));
    lines.wait_for("Error L12 (local buffer overflow): ").await;
    place.neighbour_answers().await;
    client.abort();
    until(
        "the guest is dropped",
        || dyno.in_flight(),
        |count| *count == 0,
    )
    .await;
    let longest = lines.app().iter().map(String::len).max().unwrap();
    assert!(longest <= LOG_LINE_BYTES_MAX, "{longest}");
    dyno.stop(Duration::ZERO).await;
    drop(dyno);
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_is_told_when_the_flood_has_ended() {
    let place = Place::new().await;
    let (exit, lines) = place.run("print_lines", DynoSize::default()).await;
    assert_eq!(exit, ExitStatus::Exited(0));
    lines.wait_for("messages dropped since ").await;
    let (passed, dropped) = (lines.app().len(), dropped(&lines.platform()));
    until(
        "every line is either there or counted",
        || lines.app().len() + self::dropped(&lines.platform()),
        |sum| *sum == 100_000,
    )
    .await;
    assert!(passed > 0 && dropped > 0, "{passed} {dropped}");
    place.leaves_nothing().await;
}

fn dropped(platform: &[String]) -> usize {
    platform
        .iter()
        .filter_map(|line| line.strip_prefix("Error L12 (local buffer overflow): "))
        .filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok())
        .sum()
}
