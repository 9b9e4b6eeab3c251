//! A dyno that crashes while its neighbours serve.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};

use crate::app::{App, answer};
use crate::limits::{CHANGE_MAX, LOAD_CONNECTIONS, LOAD_REQUESTS};
use crate::place::Place;
use crate::wait;

const CRASH_ID: &str = "e2e-crash-0000000000000000";

/// Requests that failed, by request id.
type Failures = BTreeMap<String, String>;

/// Crashes one of the app's dynos under load. Only requests that were on this very dyno may fail.
pub async fn under_load(place: &Place, app: &App, name: &str) {
    let (stop, good) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let loads: Vec<_> = (0..LOAD_CONNECTIONS)
        .map(|worker| {
            tokio::spawn(load(
                app.clone(),
                worker,
                Arc::clone(&stop),
                Arc::clone(&good),
            ))
        })
        .collect();
    good_answers(&good, LOAD_REQUESTS).await;
    let crash = answer(
        app.request(Method::GET, "/crash")
            .header("x-request-id", CRASH_ID),
    )
    .await;
    if let Ok(crash) = &crash {
        assert!(
            crash.status.is_server_error(),
            "/crash was answered: {crash:?}"
        );
    }
    let before = good.load(Ordering::SeqCst);
    good_answers(&good, before + LOAD_REQUESTS).await;
    stop.store(true, Ordering::SeqCst);
    let mut failures = Failures::new();
    for load in loads {
        failures.extend(load.await.unwrap());
    }
    blame(place, name, &failures).await;
}

async fn load(app: App, worker: usize, stop: Arc<AtomicBool>, good: Arc<AtomicUsize>) -> Failures {
    let mut failures = Failures::new();
    let mut number = 0_u32;
    while !stop.load(Ordering::SeqCst) {
        let id = format!("e2e-load-{worker:04}-{number:012}");
        number += 1;
        match answer(
            app.request(Method::GET, "/hello?name=load")
                .header("x-request-id", &id),
        )
        .await
        {
            Ok(answer)
                if answer.status == StatusCode::OK && answer.text().contains("Hello, load!") =>
            {
                good.fetch_add(1, Ordering::SeqCst);
            }
            other => {
                failures.insert(id, format!("{other:?}"));
            }
        }
    }
    failures
}

async fn good_answers(good: &AtomicUsize, wanted: usize) {
    wait::until(&format!("{wanted} good answers"), CHANGE_MAX, async || {
        let so_far = good.load(Ordering::SeqCst);
        if so_far >= wanted {
            Ok(())
        } else {
            Err(format!("{so_far} of them"))
        }
    })
    .await;
}

/// The router's log says which dyno answered which request.
async fn blame(place: &Place, name: &str, failures: &Failures) {
    let dyno_of = |logs: &str, id: &str| {
        let line = logs
            .lines()
            .find(|line| line.contains(&format!("request_id={id}")))?;
        let dyno = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("dyno="))?;
        Some(dyno.to_owned())
    };
    let (logs, crashed) = wait::until("the crash in the log", CHANGE_MAX, async || {
        let logs = place
            .run(["logs", "--app", name, "--num", "1500"])
            .await
            .succeeded()
            .output;
        let is_there = logs.contains("to crashed");
        match dyno_of(&logs, CRASH_ID).filter(|_| is_there) {
            Some(dyno) => Ok((logs, dyno)),
            None => Err(logs),
        }
    })
    .await;
    for (id, failure) in failures {
        let dyno = dyno_of(&logs, id);
        assert_eq!(
            dyno.as_deref(),
            Some(crashed.as_str()),
            "{id} failed on a dyno that did not crash: {failure}"
        );
    }
}
