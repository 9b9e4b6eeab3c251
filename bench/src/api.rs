//! The Platform API of a server under test, as far as scenarios need it.

use anyhow::{Context, bail};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::limits::{API_ANSWER_BYTES_MAX, API_ANSWER_TIMEOUT, BUILD_LOOK_PERIOD, SETTLE_TIMEOUT};
use crate::server::Server;

const JSON: &str = "application/json";

/// A client with the key of a data directory.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    key: String,
}

impl Api {
    /// The API of `server`, whose data directory holds the key.
    pub fn of(server: &Server, data_dir: &Path) -> anyhow::Result<Self> {
        let key = fs::read_to_string(data_dir.join("api-key")).context("the API's key")?;
        Ok(Self {
            address: server.target().address,
            key: key.trim().to_owned(),
        })
    }

    /// The id of the slug that an app's first release runs.
    pub async fn first_slug(&self, app: &str) -> anyhow::Result<String> {
        let (_, release) = self.get(&format!("/apps/{app}/releases/v1")).await?;
        id(&parsed(&release)?["slug"]).with_context(|| format!("{app} has no slug"))
    }

    /// Makes an app of a slug file.
    pub async fn install(&self, app: &str, slug: &Path) -> anyhow::Result<()> {
        self.create(app).await?;
        let slug = self.upload(app, slug).await?;
        self.release(app, &slug).await
    }

    /// Brings a slug file to the server; answers the slug's id.
    pub async fn upload(&self, app: &str, slug: &Path) -> anyhow::Result<String> {
        let bytes = fs::read(slug).with_context(|| format!("cannot read {}", slug.display()))?;
        let path = format!("/apps/{app}/slugs");
        let (_, slug) = self
            .ask("POST", &path, "application/octet-stream", &bytes)
            .await?;
        id(&parsed(&slug)?)
    }

    /// Sends a source archive to be built and released, and waits for the end of the build.
    pub async fn build(&self, app: &str, archive: &[u8]) -> anyhow::Result<()> {
        let builds = format!("/apps/{app}/builds");
        let (_, build) = self
            .ask("POST", &builds, "application/x-tar", archive)
            .await?;
        let path = format!("{builds}/{}", id(&parsed(&build)?)?);
        let began = Instant::now();
        loop {
            let (_, build) = self.get(&path).await?;
            match parsed(&build)?["status"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("pending") if began.elapsed() < SETTLE_TIMEOUT => {}
                _ => bail!("{app} was not built: {build}"),
            }
            sleep(BUILD_LOOK_PERIOD).await;
        }
    }

    /// Makes an app without anything in it.
    pub async fn create(&self, app: &str) -> anyhow::Result<()> {
        let made = self.post("/apps", &format!("{{\"name\":\"{app}\"}}")).await;
        made.map(drop).with_context(|| format!("making {app}"))
    }

    /// Makes a release of a slug that is there.
    pub async fn release(&self, app: &str, slug: &str) -> anyhow::Result<()> {
        let released = self
            .post(
                &format!("/apps/{app}/releases"),
                &format!("{{\"slug\":\"{slug}\"}}"),
            )
            .await;
        released
            .map(drop)
            .with_context(|| format!("releasing {app}"))
    }

    /// Makes an app of a slug that is there.
    pub async fn deploy(&self, app: &str, slug: &str) -> anyhow::Result<()> {
        self.create(app).await?;
        self.release(app, slug).await
    }

    /// Waits until a dyno of the app would answer; `began` is when the waiting for all began.
    pub async fn wait_up(&self, app: &str, began: Instant) -> anyhow::Result<()> {
        self.wait_states(app, &["up", "idle"], began).await
    }

    /// Waits until every dyno of the app is in this state.
    pub async fn wait_state(&self, app: &str, state: &str, began: Instant) -> anyhow::Result<()> {
        self.wait_states(app, &[state], began).await
    }

    /// Waits until every dyno of the app is in one of these states.
    pub async fn wait_states(
        &self,
        app: &str,
        states: &[&str],
        began: Instant,
    ) -> anyhow::Result<()> {
        loop {
            let (_, dynos) = self.get(&format!("/apps/{app}/dynos")).await?;
            let parsed = parsed(&dynos)?;
            let all = parsed.as_array().map_or(&[][..], Vec::as_slice);
            let is_in = |dyno: &Value| {
                dyno["state"]
                    .as_str()
                    .is_some_and(|is| states.contains(&is))
            };
            if !all.is_empty() && all.iter().all(is_in) {
                return Ok(());
            }
            if began.elapsed() > SETTLE_TIMEOUT {
                bail!("{app} is not {}: {dynos}", states.join(" or "));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// `GET`: how long it took, and the body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("GET", path, JSON, b"").await
    }

    /// `POST`, likewise.
    pub async fn post(&self, path: &str, body: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("POST", path, JSON, body.as_bytes()).await
    }

    /// `PATCH`, likewise.
    pub async fn patch(&self, path: &str, body: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("PATCH", path, JSON, body.as_bytes()).await
    }

    /// `DELETE`, likewise.
    pub async fn delete(&self, path: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("DELETE", path, JSON, b"").await
    }

    /// Asks until the answer is another than "too many requests"; the time is that of the last try.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<(Duration, String)> {
        loop {
            let began = Instant::now();
            let answer = timeout(API_ANSWER_TIMEOUT, self.exchange(method, path, kind, body))
                .await
                .with_context(|| format!("{method} {path} has no answer"))??;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.split(' ').nth(1).unwrap_or_default();
            match status {
                "429" => sleep(Duration::from_millis(200)).await,
                _ if status.starts_with('2') => return Ok((began.elapsed(), body.to_owned())),
                _ => bail!("{method} {path} answers {status}: {body}"),
            }
        }
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: application/vnd.heroku+json; version=3\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            self.key,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).await?;
        let mut answer = String::new();
        stream
            .take(API_ANSWER_BYTES_MAX)
            .read_to_string(&mut answer)
            .await?;
        Ok(answer)
    }
}

fn parsed(answer: &str) -> anyhow::Result<Value> {
    serde_json::from_str(answer).with_context(|| format!("no JSON: {answer}"))
}

fn id(object: &Value) -> anyhow::Result<String> {
    let id = object["id"].as_str();
    Ok(id.with_context(|| format!("no id: {object}"))?.to_owned())
}
