//! From one release to the next: nobody notices a good one, and a bad one does not take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::rig::{Rig, are_up, slug_of};

fn runs(dynos: &Value, count: usize, version: u64) -> bool {
    let all = dynos.as_array().unwrap();
    are_up(dynos, count) && all.iter().all(|dyno| dyno["release"]["version"] == version)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_releases_and_dynos_change() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Arc::new(Rig::start(directory.path()).await);
    rig.deploy_hello("demo").await;
    let scale = json!({ "updates": [{ "type": "web", "quantity": 2 }] });
    rig.patch("/apps/demo/formation", scale).await.expect(200);
    rig.until("/apps/demo/dynos", |dynos| runs(dynos, 2, 1))
        .await;

    let done = Arc::new(AtomicBool::new(false));
    let visitor = {
        let (rig, done) = (Arc::clone(&rig), Arc::clone(&done));
        tokio::spawn(async move {
            let mut visits = 0;
            while !done.load(Ordering::SeqCst) {
                let answer = rig.visit("demo", "/").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                visits += 1;
            }
            visits
        })
    };
    for version in 2..5_u64 {
        let vars = json!({ "VERSION": version.to_string() });
        rig.patch("/apps/demo/config-vars", vars).await.expect(200);
        rig.until("/apps/demo/dynos", |dynos| runs(dynos, 2, version))
            .await;
    }
    rig.delete("/apps/demo/dynos").await.expect(202);
    let fewer = json!({ "updates": [{ "type": "web", "quantity": 1 }] });
    rig.patch("/apps/demo/formation", fewer).await.expect(200);
    rig.until("/apps/demo/dynos", |dynos| runs(dynos, 1, 4))
        .await;
    done.store(true, Ordering::SeqCst);
    let visits = visitor.await.expect("no request failed");
    assert!(visits > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_cannot_be_loaded_leaves_the_one_before_it_serving() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let nothing = wat::parse_str("(component (import \"nobody:has/this\" (func)))").unwrap();
    let slug = rig.upload("demo", slug_of(&nothing)).await;
    let bad = rig
        .post("/apps/demo/releases", json!({ "slug": slug }))
        .await;
    assert_eq!(bad.expect(201)["version"], 2);
    let log = rig
        .until_logged("demo", "Process could not be loaded: ")
        .await;
    assert!(log.contains("nobody:has/this"), "{log}");
    assert_eq!(rig.visit("demo", "/").await.status, 200);
    let dynos = rig.get("/apps/demo/dynos").await.expect(200);
    assert!(runs(&dynos, 1, 1), "what is shown is what serves: {dynos}");

    let back = rig
        .post("/apps/demo/releases", json!({ "release": 1 }))
        .await;
    assert_eq!(
        back.error(422),
        "invalid_params",
        "a release is named by text"
    );
    let back = rig
        .post("/apps/demo/releases", json!({ "release": "1" }))
        .await;
    back.expect(201);
    rig.until("/apps/demo/dynos", |dynos| runs(dynos, 1, 3))
        .await;
    rig.until_served("demo", "hello, world!\n").await;
}
