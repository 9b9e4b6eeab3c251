//! Dynos at rest: what they hold, and what wakes them.

use crate::app::{Host, Lines, get, text, until, wait_for};
use dyno_runtime::{Beginning, CallError, Dyno, DynoOptions, DynoState, RestPolicy};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

fn impatient() -> Host {
    Host::with(|options| options.idle_after = Duration::from_millis(20))
}

impl Host {
    fn files(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("state/dynos"))
            .unwrap()
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_dyno_drops_all_it_has_and_the_next_request_brings_it_back() {
    let host = impatient();
    let (dyno, lines) = host.dyno("hello").await;
    let response = dyno.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    wait_for(&dyno, DynoState::Idle).await;
    until("its instances are gone", || dyno.memory_used() == 0).await;
    until("its files are gone", || host.files() == 0).await;
    assert_eq!(host.runtime.usage().warm_dynos, 0);

    let response = dyno.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    assert_eq!(
        lines.platform()[1..4],
        [
            "State changed from starting to up",
            "State changed from up to idle",
            "Starting process with command `hello.wasm`",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dynos_that_begin_idle_hold_nothing_until_they_are_asked() {
    let host = Host::new();
    let process = host.process("hello").await;
    let lines = Arc::new(Lines::default());
    let dynos: Vec<_> = (1..=1000)
        .map(|number| {
            let options = DynoOptions {
                beginning: Beginning::Idle,
                log: lines.clone(),
                ..DynoOptions::new(format!("web.{number}"))
            };
            Dyno::start(&host.runtime, &process, options)
        })
        .collect();
    assert!(dynos.iter().all(|dyno| dyno.state() == DynoState::Idle));
    assert_eq!((host.runtime.usage().warm_dynos, host.files()), (0, 0));
    assert!(lines.platform().is_empty());

    let response = dynos[500].clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    let usage = host.runtime.usage();
    assert_eq!((usage.warm_dynos, usage.mapped_components), (1, 1));
    assert_eq!(host.files(), 1);

    // One that was never woken is down as soon as it is told.
    dynos[0].stop(Duration::ZERO).await;
    assert_eq!(dynos[0].state(), DynoState::Down);
    dynos[0].clone().oneshot(get("/")).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_at_an_idle_dyno_wakes_it_once() {
    let host = Host::new();
    let process = host.process("hello").await;
    let lines = Arc::new(Lines::default());
    let options = DynoOptions {
        beginning: Beginning::Idle,
        log: lines.clone(),
        ..DynoOptions::new("web.1")
    };
    let dyno = Dyno::start(&host.runtime, &process, options);
    let clients: Vec<_> = (0..40)
        .map(|_| tokio::spawn(dyno.clone().oneshot(get("/"))))
        .collect();
    for client in clients {
        let response = client.await.unwrap().unwrap();
        assert_eq!(text(response).await, "hello, world!\n");
    }
    assert_eq!(
        lines.platform(),
        [
            "Starting process with command `hello.wasm`",
            "State changed from idle to up"
        ]
    );
    assert_eq!(host.runtime.usage().mapped_components, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_meet_a_dyno_on_its_way_to_rest_are_all_answered() {
    let host = Host::with(|options| options.idle_after = Duration::ZERO);
    let (dyno, lines) = host.dyno("hello").await;
    let rests = || {
        let platform = lines.platform();
        let rests = platform.iter().filter(|line| line.ends_with("to idle"));
        rests.count()
    };
    while rests() < 5 {
        let response = dyno.clone().oneshot(get("/")).await.unwrap();
        assert_eq!(text(response).await, "hello, world!\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_is_always_on_keeps_its_instances() {
    let host = impatient();
    let process = host.process("hello").await;
    let start = |rest| {
        let options = DynoOptions {
            rest,
            ..DynoOptions::new("web.1")
        };
        Dyno::start(&host.runtime, &process, options)
    };
    let (kept, quiet) = (start(RestPolicy::AlwaysOn), start(RestPolicy::WhenQuiet));
    wait_for(&kept, DynoState::Up).await;
    // Both were looked at in the same sweep, or one after it.
    for _ in 0..3 {
        wait_for(&quiet, DynoState::Idle).await;
        quiet.clone().oneshot(get("/")).await.unwrap();
    }
    assert_eq!(kept.state(), DynoState::Up);
    assert_eq!(host.runtime.usage().mapped_components, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_at_work_does_not_rest() {
    let host = Host::with(|options| options.idle_after = Duration::ZERO);
    let (dyno, _) = host.dyno("c-hello").await;
    let response = dyno
        .clone()
        .oneshot(get("/large?bytes=5000000"))
        .await
        .unwrap();
    let (other, _) = host.dyno("hello").await;
    for _ in 0..3 {
        wait_for(&other, DynoState::Idle).await;
        other.clone().oneshot(get("/")).await.unwrap();
    }
    assert_eq!(dyno.state(), DynoState::Up);
    drop(response);
    wait_for(&dyno, DynoState::Idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_memory_refuses_to_wake_a_dyno_and_harms_none_that_is_up() {
    let full = Host::with(|options| options.memory_bytes_max = Some(1 << 20));
    let process = full.process("hello").await;
    let options = DynoOptions {
        beginning: Beginning::Idle,
        ..DynoOptions::new("web.1")
    };
    let dyno = Dyno::start(&full.runtime, &process, options);
    until("the host is full", || {
        full.runtime.usage().memory_bytes > 1 << 20
    })
    .await;
    let error = dyno.clone().oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::HostFull), "{error}");
    // It is idle, not crashed: there may be room for the next request.
    assert_eq!(dyno.state(), DynoState::Idle);
    assert_eq!(full.runtime.usage().warm_dynos, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_touched_is_recorded_and_code_that_was_lost_is_compiled_again() {
    let host = impatient();
    let (dyno, _) = host.dyno("hello").await;
    dyno.clone().oneshot(get("/")).await.unwrap();
    let native = || {
        let root = host.directory.path().join("state/native");
        let folders = std::fs::read_dir(root).unwrap().flatten();
        folders
            .filter_map(|folder| std::fs::read_dir(folder.path()).ok())
            .flat_map(|files| files.flatten().map(|file| file.path()))
            .collect::<Vec<_>>()
    };
    let is_pages = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "pages");
    until("the pages are recorded", || native().iter().any(is_pages)).await;
    // As if the cache, which is bounded, had dropped the code: a host that has never seen it.
    let other = Host::new();
    let options = DynoOptions {
        beginning: Beginning::Idle,
        ..DynoOptions::new("web.1")
    };
    let dyno = Dyno::start(&other.runtime, dyno.process(), options);
    let response = dyno.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
}
