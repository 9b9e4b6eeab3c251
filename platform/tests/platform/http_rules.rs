//! What holds for every answer of the API: conditions, pages, counts, and one-off dynos through it.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, send};
use crate::rig::Rig;

impl Rig {
    /// A GET of the API with one more header.
    async fn get_with(&self, path: &str, name: &str, value: &str) -> Answer {
        let key = self.platform.api_key().reveal().to_owned();
        let request = self
            .request(Method::GET, path)
            .header("authorization", format!("Bearer {key}"))
            .header(name, value);
        let request = request.body(Bytes::new()).unwrap();
        send(self.platform.local_addr(), request).await
    }
}

fn header(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name);
    let value = value.unwrap_or_else(|| panic!("no {name}: {}", answer.text()));
    value.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.create("demo").await;
    for path in ["/apps/demo", "/apps", "/account", "/apps/demo/formation"] {
        let first = rig.get(path).await;
        first.expect(200);
        let tag = header(&first, "etag");
        let again = rig.get_with(path, "if-none-match", &tag).await;
        assert_eq!(again.status, 304, "{path}");
        assert!(again.body.is_empty(), "{path}: {}", again.text());
        assert_eq!(header(&again, "etag"), tag, "{path}");
    }
    let old = header(&rig.get("/apps/demo").await, "etag");
    let on = json!({ "maintenance": true });
    rig.patch("/apps/demo", on).await.expect(200);
    let changed = rig.get_with("/apps/demo", "if-none-match", &old).await;
    assert_eq!(changed.expect(200)["maintenance"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_that_lead_to_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.create("demo").await;
    for number in 1..=7 {
        let vars = json!({ "N": number.to_string() });
        rig.patch("/apps/demo/config-vars", vars).await.expect(200);
    }
    let path = "/apps/demo/releases";
    // What the Heroku CLI asks for after every change.
    let newest = rig
        .get_with(path, "range", "version ..; order=desc,max=1")
        .await;
    assert_eq!(newest.expect(206)[0]["version"], 7);

    let (mut range, mut seen) = ("version ..; max=3".to_owned(), Vec::new());
    loop {
        let page = rig.get_with(path, "range", &range).await;
        let items = page.json();
        let versions = items.as_array().unwrap().iter();
        seen.extend(versions.map(|release| release["version"].as_u64().unwrap()));
        assert!(header(&page, "accept-ranges").contains("version"));
        if page.status == 200 {
            break;
        }
        assert_eq!(page.status, 206, "{items}");
        range = header(&page, "next-range");
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    let unknown = rig.get_with(path, "range", "colour ..").await;
    assert_eq!(unknown.error(416), "requested_range_not_satisfiable");
    rig.get_with(path, "range", "").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_id_and_counts_against_the_rate_limit() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    let remaining = async |path: &str| {
        let answer = rig.get(path).await;
        assert_eq!(header(&answer, "request-id").len(), 36);
        header(&answer, "ratelimit-remaining")
            .parse::<u32>()
            .unwrap()
    };
    let (first, second) = (remaining("/apps").await, remaining("/nowhere").await);
    assert!(
        first <= 4_500 && second <= 4_500 && second + 2 > first,
        "{first} {second}"
    );
    let shown = rig.get("/account/rate-limits").await.expect(200);
    assert!(shown["remaining"].as_u64().unwrap() <= 4_500, "{shown}");
    let other = "application/vnd.heroku+json; version=2";
    let refused = rig.get_with("/apps", "accept", other).await;
    assert_eq!(refused.error(406), "not_acceptable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_off_needs_a_release_and_a_command_and_ends_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::start(directory.path()).await;
    rig.create("blank").await;
    let run = |command: &str| json!({ "command": command, "attach": false });
    let early = rig.post("/apps/blank/dynos", run("ls")).await;
    assert_eq!(early.error(422), "invalid_params");
    rig.deploy_hello("demo").await;
    let empty = rig.post("/apps/demo/dynos", run(" ")).await;
    assert_eq!(empty.error(422), "invalid_params");
    let started = rig
        .post("/apps/demo/dynos", run("list -l"))
        .await
        .expect(201);
    assert_eq!(
        (&started["type"], &started["command"]),
        (&json!("run"), &json!("list -l"))
    );
    let name = started["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("run."), "{name}");
    // The hello component serves and is no command, so the one-off ends at once and says so.
    let gone = |dynos: &Value| {
        dynos
            .as_array()
            .unwrap()
            .iter()
            .all(|dyno| dyno["name"] != name)
    };
    rig.until("/apps/demo/dynos", gone).await;
    let log = rig.log("demo").await;
    for words in [
        "app[api]: Starting process with command `list -l` by user owner@localhost".to_owned(),
        format!("heroku[{name}]: Process exited with status 126"),
    ] {
        assert!(log.contains(&words), "{words} is not in\n{log}");
    }
    assert_eq!(rig.visit("demo", "/").await.status, 200);
}
