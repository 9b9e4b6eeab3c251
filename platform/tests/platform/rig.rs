//! The platform under test, and apps to put on it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dyno_buildpacks::component::{AdaptOptions, adapt};
use dyno_platform::{DataDirError, Platform, PlatformOptions, StartError};
use dyno_slug::{FileSource, ProcessSource, SlugBuilder, World};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::client::{Answer, send};

/// How long a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running platform.
pub struct Rig {
    pub platform: Platform,
}

/// Options of a platform in `directory` on a free port, small enough for many at a time.
pub fn options(directory: &Path) -> PlatformOptions {
    let data_dir = directory.join("data");
    fs::create_dir_all(&data_dir).unwrap();
    let settings = "[runtime]\ninstance_slots_max = 32\n";
    fs::write(data_dir.join("dyno.toml"), settings).unwrap();
    PlatformOptions::new(data_dir)
        .listen(([127, 0, 0, 1], 0).into())
        .dyno_executable(primitives(directory))
}

/// Stands for the `dyno` program in builds of static sites: compressing in advance is an optimisation that it skips.
fn primitives(directory: &Path) -> PathBuf {
    let path = directory.join("dyno");
    let script = "#!/bin/sh\n[ \"$1\" = precompress ]\n";
    if !path.exists() {
        let mut file = fs::OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o755).open(&path);
        file.unwrap().write_all(script.as_bytes()).unwrap();
    }
    path
}

impl Rig {
    /// Starts a platform; one that was dropped a moment ago may still be letting go of the directory.
    pub async fn start(directory: &Path) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Platform::start(options(directory)).await {
                Ok(platform) => return Self { platform },
                Err(StartError::DataDir(DataDirError::Locked { .. }))
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A request of the API without a key.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let host = self.platform.local_addr().to_string();
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
    }

    /// Sends a request of the API with the key.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let key = self.platform.api_key().reveal().to_owned();
        let request = self
            .request(method, path)
            .header("authorization", format!("Bearer {key}"))
            .header("accept", "application/vnd.heroku+json; version=3")
            .header("content-type", content_type);
        let request = request.body(body.into()).unwrap();
        send(self.platform.local_addr(), request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, "application/json", "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, "application/json", "")
            .await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, "application/json", body.to_string())
            .await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, "application/json", body.to_string())
            .await
    }

    /// Makes an app.
    pub async fn create(&self, app: &str) {
        self.post("/apps", json!({ "name": app })).await.expect(201);
    }

    /// Uploads a slug to an app and answers the slug's id.
    pub async fn upload(&self, app: &str, slug: Vec<u8>) -> String {
        let path = format!("/apps/{app}/slugs");
        let answer = self
            .call(Method::POST, &path, "application/octet-stream", slug)
            .await;
        answer.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// Makes an app that answers `hello, world!`, and waits until it does.
    pub async fn deploy_hello(&self, app: &str) {
        self.create(app).await;
        let slug = self.upload(app, hello_slug()).await;
        let releases = format!("/apps/{app}/releases");
        self.post(&releases, json!({ "slug": slug }))
            .await
            .expect(201);
        self.until_served(app, "hello, world!\n").await;
    }

    /// A request for an app, as a browser sends it.
    pub async fn visit(&self, app: &str, path: &str) -> Answer {
        let port = self.platform.local_addr().port();
        let host = format!("{app}.localhost:{port}");
        let request = Request::get(path).header("host", host);
        send(
            self.platform.local_addr(),
            request.body(Bytes::new()).unwrap(),
        )
        .await
    }

    /// Waits until an app answers this.
    pub async fn until_served(&self, app: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.visit(app, "/").await;
            if answer.status == 200 && answer.text() == text {
                return;
            }
            let last = format!("{} {}", answer.status, answer.text());
            assert!(Instant::now() < deadline, "{app} is not served: {last}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the API until the answer is as wanted, and returns it.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await.json();
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} stays {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An app's log so far.
    pub async fn log(&self, app: &str) -> String {
        let path = format!("/apps/{app}/log-sessions");
        let session = self
            .post(&path, json!({ "lines": 1_500 }))
            .await
            .expect(201);
        let url = session["logplex_url"].as_str().unwrap();
        self.get(&path_of(url)).await.text()
    }

    /// Waits until an app's log has these words, and returns the log.
    pub async fn until_logged(&self, app: &str, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log(app).await;
            if log.contains(words) {
                return log;
            }
            assert!(Instant::now() < deadline, "{words} is not in\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a build printed, read to its end.
    pub async fn output(&self, build: &Value) -> String {
        let url = build["output_stream_url"].as_str().unwrap();
        self.get(&path_of(url)).await.text()
    }
}

/// The path of an address that an answer holds.
pub fn path_of(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

/// Whether `dynos` are `count` dynos that all take requests.
pub fn are_up(dynos: &Value, count: usize) -> bool {
    let dynos = dynos.as_array().unwrap();
    dynos.len() == count
        && dynos
            .iter()
            .all(|dyno| dyno["state"] == "up" || dyno["state"] == "idle")
}

/// A slug whose `web` answers `hello, world!`.
fn hello_slug() -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    let text = fs::read_to_string(guests.join("hello.wat")).unwrap();
    slug_of(&wat::parse_str(text).unwrap())
}

/// A slug whose `web` answers `hello, world!`, and whose `console` is the tool of `tests/guests/commands`.
pub fn console_slug() -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    let module = |path: &str| {
        let text = fs::read_to_string(guests.join(path)).unwrap();
        wat::parse_str(text).unwrap()
    };
    let tool = module("commands/console_tool.wat");
    let tool = adapt(&tool, &AdaptOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("hello.wasm"), module("hello.wat")).unwrap();
    fs::write(path("tool.wasm"), tool).unwrap();
    fs::create_dir(path("app")).unwrap();
    let web = ProcessSource::new("hello.wasm", World::HttpProxy).component(path("hello.wasm"));
    let console = ProcessSource::new("tool.wasm", World::Command).component(path("tool.wasm"));
    SlugBuilder::new(FileSource::new(path("app")))
        .buildpack("wasm", "0")
        .process("web".parse().unwrap(), web)
        .process("console".parse().unwrap(), console)
        .write(path("console.slug"))
        .unwrap();
    fs::read(path("console.slug")).unwrap()
}

/// A slug whose `web` is this component.
pub fn slug_of(component: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hello.wasm");
    fs::write(&file, component).unwrap();
    let app = directory.path().join("app");
    fs::create_dir(&app).unwrap();
    let slug = directory.path().join("hello.slug");
    SlugBuilder::new(FileSource::new(&app))
        .buildpack("wasm", "0")
        .process(
            "web".parse().unwrap(),
            ProcessSource::new("hello.wasm", World::HttpProxy).component(&file),
        )
        .write(&slug)
        .unwrap();
    fs::read(slug).unwrap()
}

/// A source as `git archive | gzip` would send it, always the same bytes.
pub fn source(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}
