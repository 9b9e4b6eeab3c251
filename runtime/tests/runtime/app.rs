//! A host in a temporary directory, and slugs of single components.

use bytes::Bytes;
use dyno_buildpacks::component::{self, AdaptOptions};
use dyno_runtime::{
    Dyno, DynoOptions, EgressPolicy, LogLine, LogSink, LogSource, Process, ProcessSpec,
    ResponseBody, Runtime, RuntimeOptions,
};
use dyno_slug::{FileSource, ProcessSource, SlugBuilder, SlugStore, StoredSlug, World};
use http_body_util::{BodyExt, Empty, Full};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// How long a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A runtime with its directory.
pub struct Host {
    pub runtime: Runtime,
    pub directory: TempDir,
}

impl Host {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// A host with other options.
    pub fn with(change: impl FnOnce(&mut RuntimeOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = RuntimeOptions::new(directory.path().join("state"));
        options.instance_slots_max = 64;
        options.egress = EgressPolicy::default();
        change(&mut options);
        Self {
            runtime: Runtime::new(options).unwrap(),
            directory,
        }
    }

    /// A slug whose `web` process is a guest that answers requests.
    pub fn slug(&self, guest: &str) -> StoredSlug {
        self.slug_of(guest, World::HttpProxy)
    }

    /// A slug whose `web` process is a guest that runs and ends.
    pub fn command_slug(&self, guest: &str) -> StoredSlug {
        self.slug_of(guest, World::Command)
    }

    fn slug_of(&self, guest: &str, world: World) -> StoredSlug {
        let component = self.directory.path().join(format!("{guest}.wasm"));
        std::fs::write(&component, component_of(guest)).unwrap();
        let app = self.directory.path().join("app");
        std::fs::create_dir_all(&app).unwrap();
        std::fs::write(app.join("hello.txt"), "from a file").unwrap();
        let slug = self.directory.path().join(format!("{guest}.slug"));
        SlugBuilder::new(FileSource::new(&app))
            .buildpack("wasm", "0")
            .process(
                "web".parse().unwrap(),
                ProcessSource::new(format!("{guest}.wasm"), world).component(&component),
            )
            .write(&slug)
            .unwrap();
        SlugStore::open(self.directory.path().join("slugs"))
            .unwrap()
            .import(&slug)
            .unwrap()
    }

    pub async fn process(&self, guest: &str) -> Process {
        let spec = ProcessSpec::new("test", self.slug(guest), "web".parse().unwrap());
        Process::load(&self.runtime, spec).await.unwrap()
    }

    /// A dyno of a guest, once it takes requests.
    pub async fn dyno(&self, guest: &str) -> (Dyno, Arc<Lines>) {
        let process = self.process(guest).await;
        let lines = Arc::new(Lines::default());
        let options = DynoOptions {
            log: lines.clone(),
            ..DynoOptions::new("web.1")
        };
        let dyno = Dyno::start(&self.runtime, &process, options);
        // It may be at rest again already.
        let mut state = dyno.watch();
        let up = state.wait_for(|state| state.takes_requests());
        let up = tokio::time::timeout(PATIENCE, up).await.is_ok();
        assert!(up, "{} is {}", dyno.name(), dyno.state());
        (dyno, lines)
    }
}

/// `c-hello` is the example of that name; everything else is a text in the workspace's `tests/guests`.
fn component_of(guest: &str) -> Vec<u8> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if guest == "c-hello" {
        let module = std::fs::read(workspace.join("examples/c-hello/hello.wasm")).unwrap();
        return component::adapt(&module, &AdaptOptions::default()).unwrap();
    }
    let text = std::fs::read_to_string(workspace.join("tests/guests").join(format!("{guest}.wat")));
    let bytes = wat::parse_str(text.unwrap()).unwrap();
    if component::kind(&bytes).unwrap().is_core() {
        return component::adapt(&bytes, &AdaptOptions::default()).unwrap();
    }
    bytes
}

/// Waits until the dyno is in a state.
pub async fn wait_for(dyno: &Dyno, wanted: dyno_runtime::DynoState) {
    let mut state = dyno.watch();
    let waited = tokio::time::timeout(PATIENCE, state.wait_for(|state| *state == wanted)).await;
    assert!(
        waited.is_ok(),
        "{} is {} instead of {wanted}",
        dyno.name(),
        dyno.state()
    );
}

/// A GET for a path.
pub fn get(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::builder()
        .uri(path)
        .header("host", "test.localhost")
        .body(Empty::new())
        .unwrap()
}

/// A POST with a body.
pub fn post(path: &str, body: &'static str) -> http::Request<Full<Bytes>> {
    http::Request::post(path)
        .header("host", "test.localhost")
        .body(Full::from(body))
        .unwrap()
}

/// The whole body as text.
pub async fn text(response: http::Response<ResponseBody>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Keeps every line.
#[derive(Default)]
pub struct Lines(Mutex<Vec<LogLine>>);

impl Lines {
    /// The platform's lines so far.
    pub fn platform(&self) -> Vec<String> {
        self.of(LogSource::Platform)
    }

    /// The app's lines so far.
    pub fn app(&self) -> Vec<String> {
        self.of(LogSource::App)
    }

    fn of(&self, source: LogSource) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .filter(|line| line.source == source)
            .map(|line| line.text.clone())
            .collect()
    }
}

impl LogSink for Lines {
    fn write(&self, line: LogLine) {
        self.0.lock().unwrap().push(line);
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
