//! Runs slugs as dynos: sandboxed WebAssembly instances behind a `tower` service.
//!
//! ```no_run
//! # async fn run(slug: dyno_slug::StoredSlug) -> Result<(), Box<dyn std::error::Error>> {
//! use dyno_runtime::{Formation, FormationOptions, Process, ProcessSpec, Runtime, RuntimeOptions};
//!
//! let runtime = Runtime::new(RuntimeOptions::new("/var/lib/my-server"))?;
//! let process = Process::load(&runtime, ProcessSpec::new("blog", slug, "web".parse()?)).await?;
//! let blog = Formation::start(&runtime, &process, FormationOptions::default());
//! blog.wait_up().await; // `blog` is a tower::Service<http::Request<_>>
//! # Ok(())
//! # }
//! ```
//!
//! The journey: a [`Runtime`] holds the engines and caches of a host; a [`Process`] is one process type of one
//! release, compiled and linked; a [`Dyno`] is a name, a quota and a state machine around instances of it; a
//! [`Formation`] keeps a number of dynos and spreads requests over them.
//!
//! What it does not do: listen on a socket, route by host, keep desired state. Those are the router's and the
//! platform's.

mod backoff;
mod body;
mod boot;
mod dyno;
mod environment;
mod error;
mod exec;
mod files;
mod formation;
pub mod limits;
mod log;
mod process;
mod runtime;
mod size;
mod state;
mod static_site;

pub use body::{BoxError, RequestBody, ResponseBody};
pub use dyno::{Dyno, DynoOptions, ExitStatus};
pub use dyno_sandbox::{EgressPolicy, Mount};
pub use error::{CallError, LoadError, RuntimeError};
pub use exec::{ExecSpec, exec};
pub use formation::{Formation, FormationOptions};
pub use log::{LogLine, LogSink, LogSource, NoLog};
pub use process::{Process, ProcessSpec};
pub use runtime::{Runtime, RuntimeOptions};
pub use size::{DynoSize, DynoSizes};
pub use state::DynoState;
