//! The Platform API of a server under test, as far as scenarios need it.

use anyhow::{Context, bail};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::limits::{ANSWER_TIMEOUT, API_ANSWER_BYTES_MAX, SETTLE_TIMEOUT};
use crate::server::Server;

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
        let slug = text_after(&release, "\"slug\":{\"id\":\"");
        Ok(slug
            .with_context(|| format!("{app} has no slug"))?
            .to_owned())
    }

    /// Makes an app of a slug that is there.
    pub async fn deploy(&self, app: &str, slug: &str) -> anyhow::Result<()> {
        self.post("/apps", &format!("{{\"name\":\"{app}\"}}"))
            .await
            .with_context(|| format!("making {app}"))?;
        self.post(
            &format!("/apps/{app}/releases"),
            &format!("{{\"slug\":\"{slug}\"}}"),
        )
        .await
        .with_context(|| format!("releasing {app}"))?;
        Ok(())
    }

    /// Waits until a dyno of the app would answer; `began` is when the waiting for all began.
    pub async fn wait_up(&self, app: &str, began: Instant) -> anyhow::Result<()> {
        loop {
            let (_, dynos) = self.get(&format!("/apps/{app}/dynos")).await?;
            if dynos.contains("\"state\":\"up\"") || dynos.contains("\"state\":\"idle\"") {
                return Ok(());
            }
            if began.elapsed() > SETTLE_TIMEOUT {
                bail!("{app} is not up: {dynos}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// `GET`: how long it took, and the body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("GET", path, "").await
    }

    /// `POST`, likewise.
    pub async fn post(&self, path: &str, body: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("POST", path, body).await
    }

    /// `PATCH`, likewise.
    pub async fn patch(&self, path: &str, body: &str) -> anyhow::Result<(Duration, String)> {
        self.ask("PATCH", path, body).await
    }

    /// Asks until the answer is another than "too many requests"; the time is that of the last try.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(Duration, String)> {
        loop {
            let began = Instant::now();
            let answer = timeout(ANSWER_TIMEOUT, self.exchange(method, path, body))
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

    async fn exchange(&self, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: application/vnd.heroku+json; version=3\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream
            .take(API_ANSWER_BYTES_MAX)
            .read_to_string(&mut answer)
            .await?;
        Ok(answer)
    }
}

fn text_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark)?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::text_after;

    #[test]
    fn a_slug_is_found_in_a_release() {
        let release = r#"{"id":"1","slug":{"id":"2"},"status":"succeeded"}"#;
        assert_eq!(text_after(release, "\"slug\":{\"id\":\""), Some("2"));
        assert_eq!(text_after(r#"{"slug":null}"#, "\"slug\":{\"id\":\""), None);
    }
}
