//! A command of an app, run to its end: `cargo run -p dyno-runtime --example run_command -- FILE.slug PROCESS ARGUMENTS…`.

use dyno_runtime::{
    DynoOptions, ExitStatus, LogLine, LogSink, LogSource, Process, ProcessSpec, Runtime,
    RuntimeOptions, run_command,
};
use dyno_slug::{SlugStore, StoredSlug};
use std::path::Path;
use std::sync::Arc;
use std::{env, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let usage = "usage: run_command FILE.slug PROCESS ARGUMENTS…";
    let file = arguments.next().ok_or(usage)?;
    let process = arguments.next().ok_or(usage)?;
    let slug = SlugStore::open("embed-data/slugs")?.import(file)?;
    let state = Path::new("embed-data/state");
    let status = run(slug, state, &process, arguments.collect(), Arc::new(Output)).await?;
    std::process::exit(status.code());
}

/// Runs a process type's component with other arguments than the slug's own.
pub async fn run(
    slug: StoredSlug,
    state: &Path,
    process: &str,
    arguments: Vec<String>,
    log: Arc<dyn LogSink>,
) -> Result<ExitStatus, Box<dyn Error>> {
    let runtime = Runtime::new(RuntimeOptions::new(state))?;
    let spec = ProcessSpec::new("app", slug, process.parse()?);
    let process = Process::load(&runtime, spec).await?;
    let mut options = DynoOptions::new("run.1");
    options.log = log;
    Ok(run_command(&runtime, &process, arguments, options).await)
}

/// What the command prints is our output; what happened to it is not shown.
struct Output;

impl LogSink for Output {
    fn write(&self, line: LogLine) {
        if line.source == LogSource::App {
            println!("{}", line.text);
        }
    }
}
