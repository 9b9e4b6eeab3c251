//! A client of the Platform API: requests, errors, and the objects the verbs read.

mod objects;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use objects::{Account, App, Build, ConfigVars, Dyno, Formation, LogSession, Release};

use crate::failure::Hint;
use crate::places::{self, DataDir};

const ACCEPT: &str = "application/vnd.heroku+json; version=3";
/// On one machine a connection is made at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A key or address file is one line; more is another file.
const FILE_BYTES_MAX: u64 = 1024;

/// The API of a running platform.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base: String,
    key: String,
}

/// An answer that says no.
#[derive(Debug, thiserror::Error)]
#[error("{message}\n(error id: {id})")]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// The stable name of what is wrong.
    pub id: String,
    /// The sentence for people.
    pub message: String,
}

impl Api {
    /// The API at this address, with this key.
    pub fn new(base: &str, key: &str) -> anyhow::Result<Api> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A proxy for the internet does not know this machine's platform.
            .no_proxy()
            .user_agent(concat!("dyno/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client cannot be set up")?;
        Ok(Api {
            client,
            base: base.trim_end_matches('/').to_owned(),
            key: key.trim().to_owned(),
        })
    }

    /// The API that `DYNO_API` and `DYNO_API_KEY` name, or the one that runs in the data directory.
    pub fn find(data_dir: &DataDir) -> anyhow::Result<Api> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(base) = variable("DYNO_API") {
            let key = match variable("DYNO_API_KEY") {
                Some(key) => key,
                None => read_key(&data_dir.path()?)?,
            };
            return Api::new(&base, &key);
        }
        let directory = data_dir.path()?;
        let Some(base) = read_line(&directory.join("api-url"))? else {
            bail!(Hint::new(
                format!("no platform runs in {}", places::shown(&directory)),
                "start one with: dyno serve (or name another with --data-dir, or DYNO_API and DYNO_API_KEY)"
            ));
        };
        let key = match variable("DYNO_API_KEY") {
            Some(key) => key,
            None => read_key(&directory)?,
        };
        Api::new(&base, &key)
    }

    /// `http://127.0.0.1:8080`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The key that is sent.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// A list in the order and number that `range` asks for.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        range: &str,
    ) -> anyhow::Result<Vec<T>> {
        let request = self.request(Method::GET, path).header("range", range);
        self.answer(request).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.answer(self.request(Method::POST, path).json(body))
            .await
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.answer(self.request(Method::PATCH, path).json(body))
            .await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.answer(self.request(Method::DELETE, path)).await
    }

    /// Sends a file as the body.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        file: std::fs::File,
    ) -> anyhow::Result<T> {
        let length = file.metadata().context("the file is unreadable")?.len();
        let chunks = futures::stream::unfold(tokio::fs::File::from_std(file), async |mut file| {
            let mut chunk = vec![0; 64 * 1024];
            match tokio::io::AsyncReadExt::read(&mut file, &mut chunk).await {
                Ok(0) => None,
                Ok(length) => {
                    chunk.truncate(length);
                    Some((Ok(chunk), file))
                }
                Err(error) => Some((Err(error), file)),
            }
        });
        let request = self
            .request(Method::POST, path)
            .header("content-type", content_type)
            .header("content-length", length)
            .body(reqwest::Body::wrap_stream(chunks));
        self.answer(request).await
    }

    /// Opens an address of an answer (a log, a build's output), whose lines come as they are written.
    pub async fn open(&self, url: &str) -> anyhow::Result<Response> {
        // The address is the permission: the key stays out of it.
        check(self.send(self.client.get(url)).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("accept", ACCEPT)
            .bearer_auth(&self.key)
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = check(self.send(request).await?).await?;
        response
            .json()
            .await
            .context("the API gave an answer that cannot be read")
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        request.send().await.map_err(|error| {
            if error.is_connect() {
                let what = format!("the API at {} does not answer", self.base);
                Hint::new(what, "is the platform running? Start it with: dyno serve").into()
            } else {
                anyhow::Error::from(error).context(format!("the API at {} broke off", self.base))
            }
        })
    }
}

/// The answer, or the error it holds.
async fn check(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Value = response.json().await.unwrap_or_default();
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    Err(ApiError {
        status,
        id: text("id").unwrap_or_else(|| status.as_u16().to_string()),
        message: text("message").unwrap_or_else(|| format!("the API answered {status}")),
    }
    .into())
}

/// The stable name of what the API refused, if it did.
pub fn error_id(error: &anyhow::Error) -> Option<&str> {
    error
        .downcast_ref::<ApiError>()
        .map(|error| error.id.as_str())
}

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    // A path of `.` or `..` would be resolved before it is sent.
    if encoded.bytes().all(|byte| byte == b'.') {
        return encoded.replace('.', "%2E");
    }
    encoded
}

fn read_key(directory: &Path) -> anyhow::Result<String> {
    let path = directory.join("api-key");
    read_line(&path)?.ok_or_else(|| {
        Hint::new(
            format!("there is no API key in {}", places::shown(&path)),
            "set DYNO_API_KEY to the platform's key",
        )
        .into()
    })
}

/// The line in a small file; `None` when there is no file.
fn read_line(path: &Path) -> anyhow::Result<Option<String>> {
    use std::io::Read as _;
    let unreadable = || format!("{} cannot be read", places::shown(path));
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(unreadable),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(unreadable)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_name_stays_one_segment_of_a_path() {
        assert_eq!(segment("my-app_1.2"), "my-app_1.2");
        assert_eq!(segment("../x?y"), "..%2Fx%3Fy");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ä"), "%C3%A4");
    }
}
