//! The API's door: keys, checks of what clients send, and what a platform says that cannot start.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dyno_platform::{DataDirError, Platform, StartError};
use http::Method;
use serde_json::json;

use crate::client::send;
use crate::rig::{Rig, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_the_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let address = rig.platform.local_addr();
    let key = rig.platform.api_key().reveal().to_owned();
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer wrong".to_owned()), 401),
        (Some(basic("x:wrong".to_owned())), 401),
        (Some(format!("Bearer {key}")), 200),
        (Some(basic(format!(":{key}"))), 200),
    ] {
        let mut request = rig.request(Method::GET, "/account");
        if let Some(value) = &authorization {
            request = request.header("authorization", value);
        }
        let answer = send(address, request.body(Bytes::new()).unwrap()).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 401 {
            assert_eq!(answer.error(401), "unauthorized");
            assert!(answer.headers.contains_key("www-authenticate"));
        }
        assert!(answer.headers.contains_key("request-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_herokus_words() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    for name in ["No", "1app", "app-", "an_app", "a"] {
        let answer = rig.post("/apps", json!({ "name": name })).await;
        assert_eq!(answer.error(422), "invalid_params", "{name}");
    }
    rig.create("taken").await;
    let answer = rig.post("/apps", json!({ "name": "taken" })).await;
    assert_eq!(answer.error(422), "invalid_params");

    let missing = rig.get("/apps/missing").await;
    assert_eq!(missing.error(404), "not_found");
    assert_eq!(missing.json()["resource"], "app");
    let answer = rig.get("/no/such/path").await;
    assert_eq!(answer.error(404), "not_found");

    let scale = json!({ "updates": [{ "type": "web", "quantity": 1 }] });
    let answer = rig.patch("/apps/taken/formation", scale).await;
    assert_eq!(answer.error(404), "not_found", "there is no web yet");
    let answer = rig
        .patch("/apps/taken/config-vars", json!({ "A": 1 }))
        .await;
    assert_eq!(answer.error(422), "invalid_params");
    let answer = rig
        .patch("/apps/taken/config-vars", json!({ "A=B": "x" }))
        .await;
    assert_eq!(answer.error(422), "invalid_params");
    let broken = "{\"name\": ";
    let answer = rig
        .call(Method::POST, "/apps", "application/json", broken)
        .await;
    assert_eq!(answer.error(400), "bad_request");
    let answer = rig
        .call(
            Method::POST,
            "/apps/taken/slugs",
            "application/octet-stream",
            "no slug",
        )
        .await;
    assert_eq!(answer.error(422), "invalid_params");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_lead_to_apps_and_bare_addresses_to_the_api() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let unknown = rig.visit("nobody", "/").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    rig.create("blank").await;
    rig.until("/apps/blank", |app| app["name"] == "blank").await;
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    // H81: the app is there and has nothing to run.
    while rig.visit("blank", "/").await.status != 502 {
        assert!(std::time::Instant::now() < deadline, "never blank");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let destroyed = rig.delete("/apps/blank").await;
    destroyed.expect(200);
    assert_eq!(rig.get("/apps/blank").await.error(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_or_a_port_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let second = Platform::start(options(directory.path())).await;
    match second {
        Err(StartError::DataDir(error @ DataDirError::Locked { .. })) => {
            let text = error.to_string();
            assert!(text.contains("hint: "), "{text}");
        }
        other => panic!("expected the lock to hold, got {other:?}"),
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let address = rig.platform.local_addr();
    let second = Platform::start(options(elsewhere.path()).listen(address)).await;
    match second {
        Err(error @ StartError::PortInUse { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&address.to_string()), "{text}");
        }
        other => panic!("expected the port to be taken, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_given_away_works_until_it_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let made = rig
        .post("/oauth/authorizations", json!({ "description": "robot" }))
        .await
        .expect(201);
    let token = made["access_token"]["token"].as_str().unwrap().to_owned();
    let ask = async || {
        let request = rig
            .request(Method::GET, "/account")
            .header("authorization", format!("Bearer {token}"));
        send(
            rig.platform.local_addr(),
            request.body(Bytes::new()).unwrap(),
        )
        .await
        .status
        .as_u16()
    };
    assert_eq!(ask().await, 200);
    let listed = rig.get("/oauth/authorizations").await.text();
    assert!(
        listed.contains("robot") && !listed.contains(&token),
        "{listed}"
    );
    let path = format!("/oauth/authorizations/{}", made["id"].as_str().unwrap());
    rig.delete(&path).await.expect(200);
    assert_eq!(ask().await, 401);
    for body in [json!({ "scope": ["read"] }), json!({ "expires_in": 0 })] {
        let refused = rig.post("/oauth/authorizations", body).await;
        assert_eq!(refused.error(422), "invalid_params");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_feature_that_can_be_switched_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.create("demo").await;
    let path = "/apps/demo/features/runtime-dyno-metadata";
    assert_eq!(rig.get(path).await.expect(200)["enabled"], false);
    let on = json!({ "enabled": true });
    let changed = rig.patch(path, on.clone()).await.expect(200);
    assert_eq!(changed["enabled"], true);
    assert_eq!(rig.get(path).await.expect(200)["enabled"], true);
    // What is always so may be asked for, and not be refused.
    rig.patch("/apps/demo/features/preboot", on)
        .await
        .expect(200);
    let off = json!({ "enabled": false });
    let refused = rig.patch("/apps/demo/features/preboot", off).await;
    assert_eq!(refused.error(422), "invalid_params");
    let none = rig.get("/apps/demo/features/none").await;
    assert_eq!(none.error(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_and_the_status_need_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let ask = async |path: &str| {
        let request = rig.request(Method::GET, path).body(Bytes::new()).unwrap();
        send(rig.platform.local_addr(), request).await
    };
    let found = ask("/buildpacks/heroku%2Fpython").await.expect(200);
    assert_eq!(found["blob_url"], "urn:buildpack:heroku/python");
    let none = ask("/buildpacks/heroku%2Fruby").await.expect(404);
    assert_eq!(none["blob_url"], "urn:buildpack:heroku/ruby");
    let found = ask("/buildpacks?in[name][]=go").await.expect(200);
    assert_eq!(found.as_array().unwrap().len(), 1);
    let status = ask("/api/v4/current-status").await.expect(200);
    assert_eq!(status["status"][0]["status"], "green");
}
