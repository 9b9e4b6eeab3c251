//! The port's certificate, and clients that attach to one-off dynos.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::attached_client::{AttachedClient, GREETING};
use crate::rig::{Rig, console_slug};

/// What `heroku run --exit-code` appends.
const REPORT: &str = " ; echo \"\u{ffff} heroku-command-exit-status: $?\"";

/// A platform with an app that has a console.
struct Console {
    rig: Rig,
    directory: TempDir,
}

impl Console {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let rig = Rig::start(directory.path()).await;
        rig.create("demo").await;
        let slug = rig.upload("demo", console_slug()).await;
        rig.post("/apps/demo/releases", json!({ "slug": slug }))
            .await
            .expect(201);
        Self { rig, directory }
    }

    fn data_dir(&self) -> PathBuf {
        data_dir(self.directory.path())
    }

    async fn run(&self, body: Value) -> Value {
        self.rig.post("/apps/demo/dynos", body).await.expect(201)
    }

    async fn attach(&self, dyno: &Value) -> AttachedClient {
        let url = dyno["attach_url"].as_str().unwrap();
        AttachedClient::attach(&self.data_dir(), url).await
    }
}

fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_shows_a_certificate_of_the_same_authority_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut authorities = Vec::new();
    for _ in 0..2 {
        let rig = Rig::start(directory.path()).await;
        let (data, address) = (data_dir(directory.path()), rig.platform.local_addr());
        for name in ["localhost", "127.0.0.1", "::1"] {
            let connected = AttachedClient::connect(&data, address, name).await;
            assert!(connected.is_ok(), "as {name}: {:?}", connected.err());
        }
        let stranger = AttachedClient::connect(&data, address, "example.com").await;
        assert!(stranger.is_err(), "it is nobody else's server");
        authorities.push(std::fs::read(data.join("ca.pem")).unwrap());
    }
    assert_eq!(authorities[0], authorities[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_attaches_once_and_is_told_the_status() {
    let console = Console::new().await;
    let command = format!("tool cat{REPORT}");
    let dyno = console
        .run(json!({ "command": command, "attach": true }))
        .await;
    assert_eq!(dyno["state"], "starting");
    assert_eq!(dyno["command"], "tool cat");
    let mut client = console.attach(&dyno).await;
    assert_eq!(client.until(GREETING).await, GREETING);
    client.send(b"hello\n").await;
    client.until("hello\n").await;
    client.send(b"\x04").await;
    let said = client.end().await;
    assert_eq!(
        said,
        format!("{GREETING}hello\n\u{ffff} heroku-command-exit-status: 0\n")
    );
    assert_eq!(console.attach(&dyno).await.end().await, "");
    let log = console.rig.until_logged("demo", "to complete").await;
    assert!(log.contains("Awaiting client"), "{log}");
    assert!(!log.contains("hello\n"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_is_answered_by_silence() {
    let console = Console::new().await;
    let address = console.rig.platform.local_addr();
    let url = format!("rendezvous://{address}/{}", "0".repeat(64));
    let guess = AttachedClient::attach(&console.data_dir(), &url).await;
    assert_eq!(guess.end().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_dyno() {
    let console = Console::new().await;
    let dyno = console
        .run(json!({ "command": "tool cat", "attach": true }))
        .await;
    let mut client = console.attach(&dyno).await;
    client.until(GREETING).await;
    client.send(b"x").await;
    client.until("x").await;
    drop(client);
    let log = console
        .rig
        .until_logged("demo", "exited with status 129")
        .await;
    assert!(log.contains("Client connection closed"), "{log}");
    console
        .rig
        .until("/apps/demo/dynos", |dynos| {
            dynos
                .as_array()
                .unwrap()
                .iter()
                .all(|dyno| dyno["type"] == "web")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_off_ends_when_its_time_is_over_or_its_app_is_gone() {
    let console = Console::new().await;
    let body = json!({ "command": "tool cat", "attach": true, "time_to_live": 1 });
    let dyno = console.run(body).await;
    let said = console.attach(&dyno).await.end().await;
    assert_eq!(said, GREETING);
    console
        .rig
        .until_logged("demo", "Stopping all processes with SIGTERM")
        .await;
    for time_to_live in [0, 86_401] {
        let body = json!({ "command": "x", "time_to_live": time_to_live });
        let refused = console.rig.post("/apps/demo/dynos", body).await;
        assert_eq!(refused.error(422), "invalid_params");
    }

    let dyno = console
        .run(json!({ "command": "tool cat", "attach": true }))
        .await;
    let mut client = console.attach(&dyno).await;
    client.until(GREETING).await;
    console.rig.delete("/apps/demo").await.expect(200);
    assert_eq!(client.end().await, GREETING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_is_stopped_while_it_waits_is_worth_nothing_to_its_client() {
    let console = Console::new().await;
    let dyno = console
        .run(json!({ "command": "tool cat", "attach": true }))
        .await;
    let name = dyno["name"].as_str().unwrap();
    let stop = format!("/apps/demo/dynos/{name}/actions/stop");
    console.rig.post(&stop, json!({})).await.expect(202);
    console
        .rig
        .until_logged("demo", "State changed from starting to complete")
        .await;
    assert_eq!(console.attach(&dyno).await.end().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_echoed_and_interrupted() {
    let console = Console::new().await;
    let command = format!("tool cat{REPORT}");
    let terminal = json!({ "TERM": "xterm", "COLUMNS": 80, "LINES": 24 });
    let dyno = console
        .run(json!({ "command": command, "attach": true, "env": terminal }))
        .await;
    let mut client = console.attach(&dyno).await;
    client.until(GREETING).await;
    client.send(b"hi\r").await;
    client.until("hi\r\nhi\r\n").await;
    client.send(b"\x03").await;
    let said = client.end().await;
    let end = "^C\r\n\u{ffff} heroku-command-exit-status: 130\n";
    assert!(said.ends_with(end), "{said:?}");
}
