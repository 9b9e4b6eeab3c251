//! Releases, formations and logs of a running app.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::open;
use crate::rig::{PATIENCE, Rig, are_up, path_of};

fn ids(dynos: &Value) -> BTreeSet<String> {
    let dynos = dynos.as_array().unwrap().iter();
    dynos.map(|dyno| dyno["id"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_released_served_and_logged() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let dynos = rig
        .until("/apps/demo/dynos", |dynos| are_up(dynos, 1))
        .await;
    assert_eq!(dynos[0]["name"], "web.1");
    assert_eq!(dynos[0]["command"], "hello.wasm");
    let releases = rig.get("/apps/demo/releases").await.expect(200);
    assert_eq!(releases[0]["version"], 1);
    assert_eq!(releases[0]["status"], "succeeded");
    assert_eq!(releases[0]["current"], true);

    assert_eq!(rig.visit("demo", "/seen?x=1").await.status, 200);
    let log = rig.until_logged("demo", "path=\"/seen?x=1\"").await;
    for words in [
        "heroku[web.1]: Starting process with command `hello.wasm`",
        "heroku[web.1]: State changed from starting to up",
        "app[api]: Release v1 created by user owner@localhost",
        "heroku[router]: at=info method=GET path=\"/seen?x=1\" host=demo.localhost",
    ] {
        assert!(log.contains(words), "{words} is not in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn config_vars_make_releases_and_a_rollback_undoes_them() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let vars = json!({ "GREETING": "hi", "GONE": "x" });
    rig.patch("/apps/demo/config-vars", vars).await.expect(200);
    let left = rig
        .patch("/apps/demo/config-vars", json!({ "GONE": null }))
        .await;
    assert_eq!(left.expect(200), json!({ "GREETING": "hi" }));
    let same = rig
        .patch("/apps/demo/config-vars", json!({ "GREETING": "hi" }))
        .await;
    same.expect(200);
    let current = |releases: &Value| {
        let releases = releases.as_array().unwrap();
        let current: Vec<_> = releases
            .iter()
            .filter(|one| one["current"] == true)
            .collect();
        assert_eq!(current.len(), 1, "{releases:?}");
        current[0]["version"].as_u64().unwrap()
    };
    let releases = rig.get("/apps/demo/releases").await.expect(200);
    assert_eq!(
        current(&releases),
        3,
        "setting the same value is no release"
    );

    let back = rig
        .post("/apps/demo/releases", json!({ "release": "v1" }))
        .await;
    let back = back.expect(201);
    assert_eq!(back["description"], "Rollback to v1");
    assert_eq!(back["version"], 4);
    assert_eq!(
        rig.get("/apps/demo/config-vars").await.expect(200),
        json!({})
    );
    let dynos = rig
        .until("/apps/demo/dynos", |dynos| {
            are_up(dynos, 1) && dynos[0]["release"]["version"] == 4
        })
        .await;
    assert_eq!(dynos[0]["name"], "web.1");
    rig.until_served("demo", "hello, world!\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_formation_is_scaled_restarted_and_emptied() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    // The Heroku CLI sends quantities as text.
    let scale = json!({ "updates": [{ "type": "web", "quantity": "+2" }] });
    let formation = rig.patch("/apps/demo/formation", scale).await.expect(200);
    assert_eq!(formation[0]["quantity"], 3);
    let before = rig
        .until("/apps/demo/dynos", |dynos| are_up(dynos, 3))
        .await;

    let answer = rig.delete("/apps/demo/dynos/web.2").await;
    answer.expect(202);
    let before = ids(&before);
    let after = rig
        .until("/apps/demo/dynos", |dynos| {
            are_up(dynos, 3) && ids(dynos) != before
        })
        .await;
    let kept: Vec<_> = ids(&after).intersection(&before).cloned().collect();
    assert_eq!(kept.len(), 2, "only the one that was named is new");
    assert_eq!(rig.visit("demo", "/").await.status, 200);

    let none = rig
        .patch("/apps/demo/formation/web", json!({ "quantity": 0 }))
        .await;
    assert_eq!(none.expect(200)["quantity"], 0);
    rig.until("/apps/demo/dynos", |dynos| are_up(dynos, 0))
        .await;
    let answer = rig.visit("demo", "/").await;
    assert_eq!(answer.status, 503);
    rig.until_logged("demo", "code=H14").await;

    let too_many = rig
        .patch("/apps/demo/formation/web", json!({ "quantity": 1_000_000 }))
        .await;
    assert_eq!(too_many.error(422), "invalid_params");
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_turns_requests_away_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let on = rig
        .patch("/apps/demo", json!({ "maintenance": true }))
        .await;
    assert_eq!(on.expect(200)["maintenance"], true);
    let deadline = std::time::Instant::now() + PATIENCE;
    while rig.visit("demo", "/").await.status != 503 {
        assert!(std::time::Instant::now() < deadline, "still served");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let off = rig
        .patch("/apps/demo", json!({ "maintenance": false }))
        .await;
    off.expect(200);
    rig.until_served("demo", "hello, world!\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_follows_the_log_and_ends_with_the_platform() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let session = rig
        .post(
            "/apps/demo/log-sessions",
            json!({ "tail": true, "lines": 0 }),
        )
        .await
        .expect(201);
    let path = path_of(session["logplex_url"].as_str().unwrap());
    let request = rig
        .request(Method::GET, &path)
        .header("accept", "text/event-stream");
    let request = request.body(Bytes::new()).unwrap();
    let response = open(rig.platform.local_addr(), request).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();

    assert_eq!(rig.visit("demo", "/while-tailing").await.status, 200);
    let mut seen = String::new();
    while !seen.contains("/while-tailing") {
        let frame = timeout(PATIENCE, body.frame()).await.expect("a line");
        let frame = frame.expect("the stream goes on").unwrap();
        if let Some(bytes) = frame.data_ref() {
            seen.push_str(&String::from_utf8_lossy(bytes));
        }
    }
    assert!(seen.contains("id: ") && seen.contains("\ndata: "), "{seen}");

    rig.platform.shutdown(PATIENCE).await;
    let rest = timeout(PATIENCE, body.collect()).await;
    assert!(rest.is_ok(), "the stream outlives the platform");
}
