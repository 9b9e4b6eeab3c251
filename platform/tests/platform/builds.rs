//! Builds: an archive in, a release out, words on the way.

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::rig::{Rig, source};

impl Rig {
    /// Sends an archive as a build of an app, and waits for its end.
    async fn build(&self, app: &str, archive: Vec<u8>) -> Value {
        let path = format!("/apps/{app}/builds");
        let answer = self.call(Method::POST, &path, "application/gzip", archive);
        self.ended(app, &answer.await.expect(201)).await
    }

    async fn ended(&self, app: &str, build: &Value) -> Value {
        let path = format!("/apps/{app}/builds/{}", build["id"].as_str().unwrap());
        self.until(&path, |build| build["status"] != "pending")
            .await
    }
}

fn site(page: &str) -> Vec<u8> {
    source(&[("index.html", page)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_built_released_and_built_again_only_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.create("site").await;
    let archive = site("one");
    let build = rig.build("site", archive.clone()).await;
    let output = rig.output(&build).await;
    assert_eq!(build["status"], "succeeded", "{output}");
    for words in [
        "-----> Static app detected",
        "-----> Launching...",
        "Released v1",
    ] {
        assert!(output.contains(words), "{words} is not in\n{output}");
    }
    rig.until_served("site", "one").await;

    // The same bytes by their checksum alone: nothing is uploaded, nothing is released.
    let checksum = format!("SHA256:{}", hex::encode(Sha256::digest(&archive)));
    let known = json!({ "source_blob": { "checksum": checksum } });
    let reused = rig
        .post("/apps/site/builds", known.clone())
        .await
        .expect(201);
    assert_eq!(reused["status"], "succeeded");
    assert_eq!(reused["slug"], build["slug"]);
    let output = rig.output(&reused).await;
    assert!(output.contains("Source has not changed"), "{output}");
    let releases = rig.get("/apps/site/releases").await.expect(200);
    assert_eq!(releases.as_array().unwrap().len(), 1);

    // A config var makes a release of the same slug, so the app still runs this source.
    let vars = json!({ "COLOUR": "red" });
    rig.patch("/apps/site/config-vars", vars).await.expect(200);
    let reused = rig.post("/apps/site/builds", known.clone()).await;
    assert_eq!(reused.expect(201)["slug"], build["slug"]);
    let releases = rig.get("/apps/site/releases").await.expect(200);
    assert_eq!(releases.as_array().unwrap().len(), 2);

    let changed = rig.build("site", site("two")).await;
    assert_eq!(changed["status"], "succeeded");
    assert_ne!(changed["slug"], build["slug"]);
    rig.until_served("site", "two").await;
    let unknown = rig.post("/apps/site/builds", known).await;
    assert_eq!(unknown.error(422), "source_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_uploaded_to_a_source_and_built_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.create("site").await;
    let made = rig.post("/sources", json!({})).await.expect(201);
    let blob = &made["source_blob"];
    let put = crate::rig::path_of(blob["put_url"].as_str().unwrap());
    let build = json!({ "source_blob": { "url": blob["get_url"], "version": "v1.2" } });
    let early = rig.post("/apps/site/builds", build.clone()).await;
    assert_eq!(early.error(422), "invalid_params", "nothing was uploaded");

    let upload = rig.call(Method::PUT, &put, "", site("from a source")).await;
    assert_eq!(upload.status, 200, "{}", upload.text());
    let started = rig.post("/apps/site/builds", build).await.expect(201);
    let ended = rig.ended("site", &started).await;
    assert_eq!(ended["status"], "succeeded", "{}", rig.output(&ended).await);
    rig.until_served("site", "from a source").await;
    let releases = rig.get("/apps/site/releases").await.expect(200);
    assert_eq!(releases[0]["description"], "Deploy v1.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_says_why_and_leaves_the_old_release_serving() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.deploy_hello("demo").await;
    let nothing = rig.build("demo", source(&[("notes.txt", "x")])).await;
    assert_eq!(nothing["status"], "failed");
    let output = rig.output(&nothing).await;
    assert!(
        output.contains("no buildpack recognises this app"),
        "{output}"
    );
    assert!(output.contains("hint: "), "{output}");
    assert!(output.contains("Push failed"), "{output}");

    let garbage = rig.build("demo", b"no archive".to_vec()).await;
    assert_eq!(garbage["status"], "failed");
    let hostile = rig.build("demo", source(&[("a/b", "x"), ("a", "y")])).await;
    assert_eq!(hostile["status"], "failed");

    let releases = rig.get("/apps/demo/releases").await.expect(200);
    assert_eq!(releases.as_array().unwrap().len(), 1);
    rig.until_served("demo", "hello, world!\n").await;
}
