//! Lines and figures of dynos where you want them: `cargo run -p dyno-runtime --example log_and_metrics -- FILE.slug`.

use bytes::Bytes;
use dyno_runtime::{
    Dyno, Formation, FormationOptions, LogLine, LogSink, Process, ProcessSpec, Runtime,
    RuntimeOptions,
};
use dyno_slug::{SlugStore, StoredSlug};
use http_body_util::Empty;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{env, error::Error};
use tower::{Service, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args()
        .nth(1)
        .ok_or("usage: log_and_metrics FILE.slug")?;
    let slug = SlugStore::open("embed-data/slugs")?.import(file)?;
    let figures = serve(slug, Path::new("embed-data/state")).await?;
    println!("{figures:#?}");
    Ok(())
}

/// What a monitoring system is told; in a real project these are its counters.
#[derive(Debug, Default)]
pub struct Figures {
    pub requests: AtomicU64,
    pub failures: AtomicU64,
    pub microseconds: AtomicU64,
    pub log_lines: AtomicU64,
    pub memory_bytes: AtomicU64,
}

/// Lines come one by one, with the dyno's name. They come from the threads that serve: never block here.
impl LogSink for Figures {
    fn write(&self, line: LogLine) {
        self.log_lines.fetch_add(1, Ordering::Relaxed);
        println!("{:?} {}: {}", line.source, line.dyno, line.text);
    }
}

/// Three requests, measured.
pub async fn serve(slug: StoredSlug, state: &Path) -> Result<Arc<Figures>, Box<dyn Error>> {
    let figures = Arc::new(Figures::default());
    let runtime = Runtime::new(RuntimeOptions::new(state))?;
    let process = Process::load(&runtime, ProcessSpec::new("app", slug, "web".parse()?)).await?;
    let options = FormationOptions {
        log: figures.clone(),
        ..FormationOptions::default()
    };
    let app = Formation::start(&runtime, &process, options);
    app.wait_up().await;

    // A formation is a tower service: what counts and times it is a layer like any other.
    let measured = figures.clone();
    type Request = http::Request<Empty<Bytes>>;
    let mut service = ServiceExt::<Request>::map_future(app.clone(), move |answer| {
        let (measured, began) = (measured.clone(), Instant::now());
        async move {
            let answer = answer.await;
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            measured.requests.fetch_add(1, Ordering::Relaxed);
            measured.microseconds.fetch_add(took, Ordering::Relaxed);
            if answer.is_err() {
                measured.failures.fetch_add(1, Ordering::Relaxed);
            }
            answer
        }
    });
    for _ in 0..3 {
        let request = http::Request::get("/")
            .header("host", "app.example")
            .body(Empty::<Bytes>::new())?;
        ServiceExt::<Request>::ready(&mut service).await?;
        service.call(request).await?;
    }
    // What a dyno holds is asked for, whenever the monitoring system wants to know.
    let memory: u64 = app.dynos().iter().map(Dyno::memory_used).sum();
    figures.memory_bytes.store(memory, Ordering::Relaxed);
    Ok(figures)
}
