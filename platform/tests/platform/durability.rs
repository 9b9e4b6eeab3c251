//! What was acknowledged is there after the platform ended, however it ended.

use serde_json::json;

use crate::rig::{PATIENCE, Rig, are_up};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_platform_that_just_vanished() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let key = rig.platform.api_key().reveal().to_owned();
    rig.deploy_hello("demo").await;
    let vars = json!({ "KEPT": "yes" });
    rig.patch("/apps/demo/config-vars", vars).await.expect(200);
    let scale = json!({ "updates": [{ "type": "web", "quantity": 2 }] });
    rig.patch("/apps/demo/formation", scale).await.expect(200);
    // Dropped right after the answer, without a shutdown.
    drop(rig);

    let rig = Rig::start(directory.path()).await;
    assert_eq!(rig.platform.api_key().reveal(), key);
    // No request finds no such app, not even the first one of all.
    assert_eq!(rig.visit("demo", "/").await.text(), "hello, world!\n");
    rig.until("/apps/demo/dynos", |dynos| are_up(dynos, 2))
        .await;
    let vars = rig.get("/apps/demo/config-vars").await.expect(200);
    assert_eq!(vars, json!({ "KEPT": "yes" }));
    let releases = rig.get("/apps/demo/releases").await.expect(200);
    assert_eq!(releases.as_array().unwrap().len(), 2);
    let builds = rig.get("/apps/demo/builds").await.expect(200);
    assert_eq!(builds, json!([]), "nothing was built again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_go_of_everything() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let url_file = directory.path().join("data/api-url");
    assert!(url_file.exists());
    let report = rig.platform.shutdown(PATIENCE).await;
    assert_eq!(report.connections_cut, 0);
    assert!(!url_file.exists(), "the next client would ask nobody");
    let rig = Rig::start(directory.path()).await;
    rig.until_served("demo", "hello, world!\n").await;
}
