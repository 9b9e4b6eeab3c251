//! Disk: bytes, entries, open files, ways out.

use crate::place::{Place, with_memory};
use dyno_runtime::{DynoSize, ExitStatus};
use dyno_slug::World;

/// Preview 1's number for "no space left on device".
const NO_SPACE: &str = "51";

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_cannot_be_filled_and_removing_files_makes_room_again() {
    let place = Place::new().await;
    let (exit, lines) = place.run("fill_disk", with_memory(16 << 20)).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), ["00", NO_SPACE, "00", "00", NO_SPACE]);
    let quota = "Disk quota exceeded: its files have grown by the 16 MB they may";
    lines.wait_for(quota).await;
    // What is written counts as memory.
    lines.wait_for("Error R14 (Memory quota exceeded)").await;
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_a_file_counts_like_what_is_written() {
    let place = Place::new().await;
    let (exit, lines) = place.run("sparse_file", with_memory(16 << 20)).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), ["00", NO_SPACE, NO_SPACE, NO_SPACE, "00"]);
    lines.wait_for("Disk quota exceeded").await;
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_counts_for_as_long_as_it_is_open() {
    let place = Place::new().await;
    let (exit, lines) = place.run("removed_but_open", with_memory(16 << 20)).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), [NO_SPACE, "17"]);
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_directories_have_a_bound() {
    let place = Place::new().await;
    let (exit, lines) = place.run("many_directories", DynoSize::default()).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), [NO_SPACE]);
    lines
        .wait_for("it has added the 20000 files and directories it may")
        .await;
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_files_have_a_bound() {
    let place = Place::new().await;
    let (exit, lines) = place.run("many_open_files", DynoSize::default()).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), ["22"], "insufficient memory, in WASI's order");
    lines
        .wait_for("Too many open files: it holds the 512 it may")
        .await;
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_a_dynos_directories() {
    let place = Place::new().await;
    let (exit, lines) = place.run("escape", DynoSize::default()).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(lines.app(), ["00"], "the numbers are those in escape.wat");
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_are_files_like_others_and_are_removed_like_others() {
    let place = Place::new().await;
    let (exit, lines) = place.run("odd_names", DynoSize::default()).await;
    assert_eq!(exit, ExitStatus::Exited(0), "{:?}", lines.app());
    assert_eq!(
        lines.app(),
        ["00", "00", "00", "00", "37"],
        "37: name too long"
    );
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_text_ends_its_guest() {
    let place = Place::new().await;
    let (exit, lines) = place.run("not_utf8", DynoSize::default()).await;
    let trapped = matches!(exit, ExitStatus::Trapped(_));
    let refused = exit == ExitStatus::Exited(0) && lines.app() != ["00"];
    assert!(trapped || refused, "{exit:?}: {:?}", lines.app());
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_dyno_sees_the_files_of_another_or_of_its_own_past() {
    let place = Place::new().await;
    let process = place.process("leave_a_mark", World::Command).await;
    let size = DynoSize::default();
    let ((_, first), (_, second)) = tokio::join!(
        place.run_process(&process, size),
        place.run_process(&process, size)
    );
    let (_, third) = place.run_process(&process, size).await;
    for lines in [first, second, third] {
        assert_eq!(lines.app(), ["00", "00"]);
    }
    drop(process);
    place.leaves_nothing().await;
}
