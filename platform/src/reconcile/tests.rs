//! The reconciler against dynos that start late, crash and hang on command.

mod scripted;

use std::collections::BTreeMap;
use std::time::Duration;

use dyno_runtime::ClientKind;

use super::{Beginning, DynoState, OneOff, OneOffError, Run, Selection};
use crate::attach::{Attached, Sessions};
use crate::model::DynoSizeName;
use crate::release::AppChange;
use scripted::{APP, Rig};

impl Rig {
    /// A rig whose v1 serves with one `web` dyno.
    async fn serving() -> Self {
        let rig = Self::start().await;
        rig.deploy(&["web", "worker"]).await;
        rig.started("web.1@v1").await.set(DynoState::Up);
        rig.until_routed(&["web.1@v1"]).await;
        rig
    }
}

#[tokio::test]
async fn the_old_release_serves_alone_until_every_dyno_of_the_new_one_is_up() {
    let rig = Rig::serving().await;
    rig.scale("web", 2).await;
    rig.started("web.2@v1").await.set(DynoState::Up);
    rig.until_routed(&["web.1@v1", "web.2@v1"]).await;

    rig.deploy(&["web"]).await;
    let (one, two) = (rig.started("web.1@v2").await, rig.started("web.2@v2").await);
    one.set(DynoState::Up);
    // The API shows the new dyno at once, so the pass that saw its state has ended.
    rig.until("web.1 of v2 is shown as up", || {
        let dynos = rig.fleet.dynos(rig.app.id);
        dynos
            .iter()
            .any(|dyno| dyno.name == "web.1" && dyno.state == "up")
            .then_some(())
    })
    .await;
    assert_eq!(rig.routed(), ["web.1@v1", "web.2@v1"], "half a switch");
    assert!(
        rig.all("web.1@v1")
            .iter()
            .all(|dyno| !dyno.was_asked_to_stop())
    );

    two.set(DynoState::Up);
    rig.until_routed(&["web.1@v2", "web.2@v2"]).await;
    for label in ["web.1@v1", "web.2@v1"] {
        rig.until_stopped(&rig.all(label)[0]).await;
    }
}

#[tokio::test]
async fn a_release_whose_code_cannot_be_loaded_leaves_the_old_one_serving() {
    let rig = Rig::serving().await;
    rig.deploy_broken(&["web"]).await;
    rig.until("the log says why", || {
        rig.log().contains("it imports wasi:nothing").then_some(())
    })
    .await;
    assert_eq!(rig.routed(), ["web.1@v1"]);
    assert!(!rig.all("web.1@v1")[0].was_asked_to_stop());

    // The next good release is taken up as if the broken one had never been.
    rig.deploy(&["web"]).await;
    rig.started("web.1@v3").await.set(DynoState::Up);
    rig.until_routed(&["web.1@v3"]).await;
    rig.until_stopped(&rig.all("web.1@v1")[0]).await;
}

#[tokio::test]
async fn a_first_release_that_cannot_be_loaded_is_crashed_and_not_awaited_for_ever() {
    let rig = Rig::start().await;
    rig.until_state("Blank").await;
    rig.deploy_broken(&["web"]).await;
    rig.until_state("Crashed").await;
    let dynos = rig.fleet.dynos(rig.app.id);
    assert_eq!(
        (dynos[0].name.as_str(), dynos[0].state),
        ("web.1", "crashed")
    );
}

#[tokio::test]
async fn a_crashed_dyno_leaves_the_route_alone_and_comes_back_to_it() {
    let rig = Rig::serving().await;
    rig.scale("web", 2).await;
    let two = rig.started("web.2@v1").await;
    two.set(DynoState::Up);
    rig.until_routed(&["web.1@v1", "web.2@v1"]).await;
    two.set(DynoState::Crashed);
    rig.until_routed(&["web.1@v1"]).await;
    rig.all("web.1@v1")[0].set(DynoState::Crashed);
    rig.until_state("Crashed").await;
    two.set(DynoState::Up);
    rig.until_routed(&["web.2@v1"]).await;
    // An idle dyno takes requests: the next one wakes it.
    two.set(DynoState::Idle);
    rig.all("web.1@v1")[0].set(DynoState::Up);
    rig.until_routed(&["web.1@v1", "web.2@v1"]).await;
}

#[tokio::test]
async fn a_worker_and_its_successor_never_run_at_the_same_time() {
    let rig = Rig::serving().await;
    rig.scale("worker", 1).await;
    let old = rig.started("worker.1@v1").await;
    old.set(DynoState::Up);
    old.hold_stop();
    rig.deploy(&["web", "worker"]).await;
    rig.started("web.1@v2").await.set(DynoState::Up);
    rig.until_routed(&["web.1@v2"]).await;
    rig.until("the old worker is told to stop", || {
        old.was_asked_to_stop().then_some(())
    })
    .await;
    assert!(rig.all("worker.1@v2").is_empty(), "two at a time");
    old.let_stop();
    rig.started("worker.1@v2").await;
    assert_eq!(old.state(), DynoState::Down);
}

#[tokio::test]
async fn a_formation_is_scaled_up_down_and_to_nothing() {
    let rig = Rig::serving().await;
    rig.scale("web", 3).await;
    for label in ["web.2@v1", "web.3@v1"] {
        rig.started(label).await.set(DynoState::Up);
    }
    rig.until_routed(&["web.1@v1", "web.2@v1", "web.3@v1"])
        .await;
    rig.scale("web", 1).await;
    rig.until_routed(&["web.1@v1"]).await;
    for label in ["web.2@v1", "web.3@v1"] {
        rig.until_stopped(&rig.all(label)[0]).await;
    }
    rig.scale("web", 0).await;
    rig.until_state("NoWebProcesses").await;
    rig.until_stopped(&rig.all("web.1@v1")[0]).await;
    rig.until("none is shown", || {
        rig.fleet.dynos(rig.app.id).is_empty().then_some(())
    })
    .await;
    rig.scale("web", 1).await;
    rig.until_state("Starting").await;
}

#[tokio::test]
async fn a_restart_replaces_a_dyno_without_a_gap() {
    let rig = Rig::serving().await;
    rig.fleet
        .restart(rig.app.id, &Selection::Type("web".to_owned()));
    let successor = rig
        .until("a second web.1", || rig.all("web.1@v1").get(1).cloned())
        .await;
    let first = rig.all("web.1@v1")[0].clone();
    assert!(
        !first.was_asked_to_stop(),
        "stopped before its successor is up"
    );
    successor.set(DynoState::Up);
    rig.until("the first one is told to stop", || {
        first.was_asked_to_stop().then_some(())
    })
    .await;
    rig.until("it is down", || {
        (first.state() == DynoState::Down).then_some(())
    })
    .await;
    assert_eq!(rig.routed(), ["web.1@v1"]);
    assert_eq!(rig.all("web.1@v1").len(), 2, "restarted once");
}

#[tokio::test]
async fn maintenance_renaming_and_destroying_change_the_route() {
    let rig = Rig::serving().await;
    let maintenance = |on| AppChange {
        maintenance: Some(on),
        ..AppChange::default()
    };
    rig.apps
        .change(rig.app.id, &maintenance(true))
        .await
        .expect("changed");
    rig.until_state("Maintenance").await;
    rig.apps
        .change(rig.app.id, &maintenance(false))
        .await
        .expect("changed");
    rig.until_routed(&["web.1@v1"]).await;
    let new_name = crate::model::AppName::new("other").expect("valid");
    let rename = AppChange {
        name: Some(new_name),
        ..AppChange::default()
    };
    rig.apps.change(rig.app.id, &rename).await.expect("changed");
    rig.until("the old name is free", || (!rig.has_route()).then_some(()))
        .await;
    let back = AppChange {
        name: Some(rig.app.name.clone()),
        ..AppChange::default()
    };
    rig.apps.change(rig.app.id, &back).await.expect("changed");
    rig.until_routed(&["web.1@v1"]).await;
    assert!(
        !rig.all("web.1@v1")[0].was_asked_to_stop(),
        "a new name restarts nothing"
    );

    rig.apps.destroy(rig.app.id).await.expect("destroyed");
    rig.until("the route is gone", || (!rig.has_route()).then_some(()))
        .await;
    rig.until_stopped(&rig.all("web.1@v1")[0]).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_every_dyno() {
    let rig = Rig::serving().await;
    rig.scale("worker", 1).await;
    rig.started("worker.1@v1").await.set(DynoState::Up);
    rig.fleet.shutdown().await;
    for label in ["web.1@v1", "worker.1@v1"] {
        assert_eq!(rig.all(label)[0].state(), DynoState::Down, "{label}");
    }
}

#[tokio::test]
async fn an_app_at_rest_has_no_task_and_is_woken_by_every_kind_of_news() {
    let rig = Rig::serving().await;
    let at_rest = || (rig.fleet.inner.at_work() == 0).then_some(());
    rig.until("the app is at rest", at_rest).await;
    let dyno = rig.all("web.1@v1")[0].clone();
    // That it rests and wakes is no news.
    dyno.set(DynoState::Idle);
    assert_eq!(rig.fleet.inner.at_work(), 0);
    assert_eq!(rig.fleet.dynos(rig.app.id)[0].state, "idle");
    dyno.set(DynoState::Crashed);
    rig.until_state("Crashed").await;
    rig.until("the app is at rest", at_rest).await;
    dyno.set(DynoState::Up);
    rig.until_routed(&["web.1@v1"]).await;
    rig.until("the app is at rest", at_rest).await;
    rig.scale("web", 2).await;
    rig.started("web.2@v1").await.set(DynoState::Up);
    rig.until_routed(&["web.1@v1", "web.2@v1"]).await;
    rig.until("the app is at rest", at_rest).await;
    rig.fleet
        .restart(rig.app.id, &Selection::Dyno("web.2".to_owned()));
    rig.until("a second web.2", || rig.all("web.2@v1").get(1).cloned())
        .await
        .set(DynoState::Up);
    rig.until("the app is at rest", at_rest).await;
}

#[tokio::test]
async fn after_a_restart_of_the_host_web_dynos_begin_idle_and_the_others_start() {
    let rig = Rig::serving().await;
    rig.scale("worker", 1).await;
    rig.started("worker.1@v1").await.set(DynoState::Up);
    let rig = rig.crash_and_start().await;
    let beginning =
        |dyno: &scripted::ScriptedDyno| dyno.place.as_ref().map(|place| place.beginning);
    let (web, worker) = (
        rig.started("web.1@v1").await,
        rig.started("worker.1@v1").await,
    );
    assert_eq!(beginning(&web), Some(Beginning::Idle));
    assert_eq!(beginning(&worker), Some(Beginning::Started));
    for dyno in [&web, &worker] {
        dyno.set(DynoState::Up);
    }
    rig.until_routed(&["web.1@v1"]).await;
    // What is new from here on shows that it starts.
    rig.deploy(&["web"]).await;
    let next = rig.started("web.1@v2").await;
    assert_eq!(beginning(&next), Some(Beginning::Started));
}

fn one_off(command: &str) -> OneOff {
    OneOff {
        time_to_live: Duration::from_mins(1),
        command: command.to_owned(),
        environment: BTreeMap::new(),
        size: DynoSizeName::Basic,
        process_type: "run".to_owned(),
    }
}

#[tokio::test]
async fn a_one_off_runs_once_beside_the_formation() {
    let rig = Rig::serving().await;
    let status = rig
        .fleet
        .run_one_off(&rig.app, one_off("LEVEL=2 say 'a b' ${LEVEL:-none}"), None)
        .await
        .expect("started");
    let number = status.name.strip_prefix("run.").expect("a run dyno");
    assert!(
        number.len() == 4 && number.parse::<u32>().is_ok(),
        "{}",
        status.name
    );
    let label = format!("{}@v1", status.name);
    let dyno = rig.started(&label).await;
    assert_eq!(
        dyno.run,
        Run::OnceInstead(["say", "a b", "none"].map(str::to_owned).to_vec())
    );
    let shown = |name: &str| {
        rig.fleet
            .dynos(rig.app.id)
            .iter()
            .any(|dyno| dyno.name == name)
    };
    assert!(shown(&status.name) && shown("web.1"));
    // Restarting all restarts the formation only.
    rig.fleet.restart(rig.app.id, &Selection::All);
    rig.until("web.1 is replaced", || rig.all("web.1@v1").get(1).cloned())
        .await;
    assert!(!dyno.was_asked_to_stop());
    dyno.set(DynoState::Down);
    rig.until("it is off the board", || {
        (!shown(&status.name)).then_some(())
    })
    .await;
    assert_eq!(rig.all(&label).len(), 1, "it was started again");
}

#[tokio::test]
async fn a_one_off_of_a_process_type_keeps_its_arguments_and_adds_more() {
    let rig = Rig::serving().await;
    let status = rig
        .fleet
        .run_one_off(&rig.app, one_off("worker --once now"), None)
        .await
        .expect("started");
    let dyno = rig.started(&format!("{}@v1", status.name)).await;
    assert_eq!(
        dyno.run,
        Run::OnceWith(vec!["--once".to_owned(), "now".to_owned()])
    );
}

#[tokio::test]
async fn a_one_off_that_cannot_run_is_refused_with_words() {
    let blank = Rig::start().await;
    let result = blank
        .fleet
        .run_one_off(&blank.app, one_off("list"), None)
        .await;
    assert!(
        matches!(result, Err(OneOffError::NoRelease)),
        "{APP}: {result:?}"
    );
    let rig = Rig::serving().await;
    let result = rig
        .fleet
        .run_one_off(&rig.app, one_off("echo 'open"), None)
        .await;
    assert!(matches!(result, Err(OneOffError::Line(_))), "{result:?}");
    for command in ["migrate && seed", "cd lib", "$NOTHING"] {
        let result = rig
            .fleet
            .run_one_off(&rig.app, one_off(command), None)
            .await;
        assert!(
            matches!(result, Err(OneOffError::NotOneProgram)),
            "{command}: {result:?}"
        );
    }
    let of_web = OneOff {
        process_type: "web".to_owned(),
        ..one_off("list")
    };
    let result = rig.fleet.run_one_off(&rig.app, of_web, None).await;
    assert!(
        matches!(result, Err(OneOffError::ProcessType)),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_one_off_whose_client_does_not_come_is_not_started() {
    let rig = Rig::serving().await;
    let sessions = Sessions::default();
    let (_token, client) = sessions.await_client_for(Duration::ZERO).expect("a token");
    let attached = Attached {
        client: ClientKind::Pipe,
        reports_status: false,
    };
    let status = rig
        .fleet
        .run_one_off(&rig.app, one_off("list"), Some((client, attached)))
        .await
        .expect("on the board");
    assert_eq!(status.state, "starting");
    rig.until("it is given up", || {
        rig.log()
            .contains("Error R13 (Attach error) -> Failed to attach to process")
            .then_some(())
    })
    .await;
    assert!(rig.all(&format!("{}@v1", status.name)).is_empty());
}
