//! A host with a neighbour on it, and the ways to run a hostile guest beside that.

use crate::baseline::Baseline;
use bytes::Bytes;
use dyno_buildpacks::component::{AdaptOptions, adapt};
use dyno_runtime::{
    Dyno, DynoOptions, DynoSize, DynoState, ExitStatus, LogLine, LogSink, LogSource, Process,
    ProcessSpec, ResponseBody, Runtime, RuntimeOptions,
};
use dyno_slug::{FileSource, ProcessSource, SlugBuilder, SlugStore, StoredSlug, World};
use http_body_util::{BodyExt, Empty};
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::MutexGuard;
use tower::ServiceExt;

/// How long a test waits for a condition before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub struct Place {
    pub runtime: Runtime,
    neighbour: Dyno,
    before: Baseline,
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    pub async fn new() -> Self {
        let turn = TURN.lock().await;
        let directory = tempfile::tempdir().unwrap();
        let mut options = RuntimeOptions::new(directory.path().join("state"));
        options.instance_slots_max = 32;
        let runtime = Runtime::new(options).unwrap();
        let process = load(&runtime, directory.path(), "hello", World::HttpProxy).await;
        // One instance, so that what it holds does not depend on how its requests fall.
        let size = DynoSize {
            concurrency: 1,
            ..DynoSize::default()
        };
        let options = DynoOptions {
            size,
            ..DynoOptions::new("web.1")
        };
        let neighbour = Dyno::start(&runtime, &process, options);
        wait_for(&neighbour, DynoState::Up).await;
        let place = Self {
            runtime,
            neighbour,
            before: Baseline::now(),
            directory,
            _turn: turn,
        };
        place.neighbour_answers().await;
        let before = Baseline::now();
        Self { before, ..place }
    }

    pub async fn process(&self, guest: &str, world: World) -> Process {
        load(&self.runtime, self.directory.path(), guest, world).await
    }

    /// A dyno of a handler, once it takes requests.
    pub async fn web(&self, guest: &str, size: DynoSize) -> (Dyno, Arc<Lines>) {
        let (dyno, lines) = self.starting(guest, size, PATIENCE).await;
        wait_for(&dyno, DynoState::Up).await;
        (dyno, lines)
    }

    /// A dyno of a handler, which has so long to come up.
    pub async fn starting(
        &self,
        guest: &str,
        size: DynoSize,
        start_timeout: Duration,
    ) -> (Dyno, Arc<Lines>) {
        // The guests of 0.3 say so in their names.
        let world = if guest.ends_with("_03") {
            World::HttpService
        } else {
            World::HttpProxy
        };
        let process = self.process(guest, world).await;
        let lines = Arc::new(Lines::default());
        let options = DynoOptions {
            size,
            log: lines.clone(),
            start_timeout,
            ..DynoOptions::new("web.1")
        };
        (Dyno::start(&self.runtime, &process, options), lines)
    }

    /// Runs a command to its end.
    pub async fn run(&self, guest: &str, size: DynoSize) -> (ExitStatus, Arc<Lines>) {
        let process = self.process(guest, World::Command).await;
        self.run_process(&process, size).await
    }

    pub async fn run_process(&self, process: &Process, size: DynoSize) -> (ExitStatus, Arc<Lines>) {
        let lines = Arc::new(Lines::default());
        let options = DynoOptions {
            size,
            log: lines.clone(),
            command: Some(vec!["hostile".into()]),
            ..DynoOptions::new("run.1")
        };
        let dyno = Dyno::start(&self.runtime, process, options);
        let exit = tokio::time::timeout(PATIENCE, dyno.wait_exit()).await;
        (exit.expect("the command ends"), lines)
    }

    pub async fn neighbour_answers(&self) {
        let answer = self.neighbour.clone().oneshot(get("/"));
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.expect("the neighbour answers in time").unwrap();
        assert_eq!(text(answer).await, "hello, world!\n");
    }

    /// What every test ends with, once its guests are gone.
    pub async fn leaves_nothing(self) {
        self.neighbour_answers().await;
        let dynos = self.directory.path().join("state/dynos");
        until(
            "only the neighbour's files are left",
            || std::fs::read_dir(&dynos).unwrap().count(),
            |count| *count <= 1,
        )
        .await;
        self.before.comes_back().await;
    }
}

/// A size with this memory quota.
pub fn with_memory(bytes: u64) -> DynoSize {
    DynoSize {
        memory_bytes_max: bytes,
        ..DynoSize::default()
    }
}

async fn load(runtime: &Runtime, directory: &Path, guest: &str, world: World) -> Process {
    let slug = slug(directory, guest, world);
    let spec = ProcessSpec::new("test", slug, process_type(world).parse().unwrap());
    Process::load(runtime, spec).await.unwrap()
}

/// A command that is called `web` would be waited for to listen.
fn process_type(world: World) -> &'static str {
    if world == World::Command {
        "worker"
    } else {
        "web"
    }
}

fn slug(directory: &Path, guest: &str, world: World) -> StoredSlug {
    let component = directory.join(format!("{guest}.wasm"));
    std::fs::write(&component, component_of(guest, world)).unwrap();
    let app = directory.join("app");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("hello.txt"), "from a file").unwrap();
    let slug = directory.join(format!("{guest}.slug"));
    SlugBuilder::new(FileSource::new(&app))
        .buildpack("wasm", "0")
        .process(
            process_type(world).parse().unwrap(),
            ProcessSource::new(guest, world).component(&component),
        )
        .write(&slug)
        .unwrap();
    SlugStore::open(directory.join("slugs"))
        .unwrap()
        .import(&slug)
        .unwrap()
}

/// Handlers are whole components; a command is the inside of a module, after the prelude.
fn component_of(guest: &str, world: World) -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let read = |name: String| std::fs::read_to_string(guests.join(name)).unwrap();
    if world != World::Command {
        // With the lines of the text, for traps to tell.
        let name = format!("{guest}.wat");
        let text = read(name.clone());
        let mut parser = wat::Parser::new();
        parser.generate_dwarf(wat::GenerateDwarf::Full);
        return parser.parse_str(Some(Path::new(&name)), text).unwrap();
    }
    let (prelude, body) = (
        read("commands/prelude.wat".into()),
        read(format!("commands/{guest}.wat")),
    );
    // Imports come before everything else.
    let (imports, body) = match body
        .find("(data")
        .or(body.find("(table"))
        .or(body.find("(func ("))
    {
        Some(at) => body.split_at(at),
        None => ("", body.as_str()),
    };
    let module = wat::parse_str(format!("(module {imports}\n{prelude}\n{body})")).unwrap();
    adapt(&module, &AdaptOptions::default()).unwrap()
}

/// Waits until the dyno is in a state.
pub async fn wait_for(dyno: &Dyno, wanted: DynoState) {
    let mut state = dyno.watch();
    let waited = tokio::time::timeout(PATIENCE, state.wait_for(|state| *state == wanted)).await;
    assert!(waited.is_ok(), "it is {} instead of {wanted}", dyno.state());
}

/// Waits until a condition holds of what is seen.
pub async fn until<T: Display>(
    what: &str,
    mut look: impl FnMut() -> T,
    mut condition: impl FnMut(&T) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if condition(&seen) {
            return;
        }
        assert!(Instant::now() < deadline, "in vain: {what}; now {seen}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A GET for a path.
pub fn get(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::builder()
        .uri(path)
        .header("host", "test.localhost")
        .body(Empty::new())
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

    /// Waits until the platform has said something.
    pub async fn wait_for(&self, words: &str) {
        until(
            &format!("the log says \"{words}\""),
            || self.platform().join("\n"),
            |text| text.contains(words),
        )
        .await;
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
