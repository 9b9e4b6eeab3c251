//! Serves one HTTP component on a free loopback port until a signal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dyno_router::{Fallback, Listener, RequestBody, Router, RouterOptions};
use dyno_runtime::{
    ExecSpec, Formation, FormationOptions, LogLine, LogSink, LogSource, Process, Runtime,
};

use futures::TryFutureExt as _;
use tower::{ServiceExt as _, service_fn};

use crate::{say, signals};

/// How long requests in flight may take to end after the signal.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Serves until a signal; says where on standard error.
pub async fn serve(runtime: &Runtime, spec: ExecSpec) -> anyhow::Result<()> {
    let process = Process::of_component(runtime, spec).await?;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .context("no free port on 127.0.0.1")?;
    let address = listener.local_address().context("the port is not known")?;
    say::error_line(&format!("http://{address}/"));
    // A formation, if only of one: requests wait while it starts.
    let formation_options = FormationOptions {
        log: Arc::new(StandardStreams),
        ..FormationOptions::default()
    };
    let formation = Formation::start(runtime, &process, formation_options);
    let serving = formation.clone();
    let fallback = Fallback::new(service_fn(
        // A refused request travels in the error, which is therefore not for other threads: its words are.
        move |request: http::Request<RequestBody>| {
            serving
                .clone()
                .oneshot(request)
                .map_err(|error| error.to_string())
        },
    ));
    let options = RouterOptions {
        fallback: Some(fallback),
        ..RouterOptions::default()
    };
    Router::new(options).serve(listener, signals::stop()).await;
    formation.drain(STOP_GRACE).await;
    Ok(())
}

/// What the guest prints is our output; what happens to it is our log.
struct StandardStreams;

impl LogSink for StandardStreams {
    fn write(&self, line: LogLine) {
        match line.source {
            LogSource::App => say::line(line.text),
            LogSource::Platform => say::error_line(&line.text),
        }
    }
}
