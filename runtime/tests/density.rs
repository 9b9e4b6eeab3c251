//! What an idle dyno costs in memory. Alone in its program, so that nothing else allocates meanwhile.

#![allow(clippy::unwrap_used)]

#[path = "runtime/app.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod app;

use app::{Host, get, text};
use dyno_runtime::{Beginning, Dyno, DynoOptions, Process, ProcessSpec};
use tower::ServiceExt;

const APPS: u64 = 4_000;
/// Its process and its dyno. The route of an app is some 450 bytes more.
const BYTES_PER_APP_MAX: u64 = 2_048;

/// Memory of this process that is no file's.
fn anonymous_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    let kibibytes: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kibibytes * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_app_is_a_few_names() {
    let host = Host::new();
    let slug = host.slug("hello");
    let idle = async |number: u64| {
        let spec = ProcessSpec::new(
            format!("app-{number}"),
            slug.clone(),
            "web".parse().unwrap(),
        );
        let process = Process::load(&host.runtime, spec).await.unwrap();
        let options = DynoOptions {
            beginning: Beginning::Idle,
            ..DynoOptions::new("web.1")
        };
        Dyno::start(&host.runtime, &process, options)
    };
    // What the first of its kind allocates for all.
    let first = idle(0).await;
    let response = first.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
    let before = anonymous_bytes();
    let mut dynos = Vec::new();
    for number in 1..=APPS {
        dynos.push(idle(number).await);
    }
    let each = anonymous_bytes().saturating_sub(before) / APPS;
    assert!(each <= BYTES_PER_APP_MAX, "{each} bytes for an idle app");
    assert_eq!(host.runtime.usage().warm_dynos, 1);
    let response = dynos[1234].clone().oneshot(get("/")).await.unwrap();
    assert_eq!(text(response).await, "hello, world!\n");
}
