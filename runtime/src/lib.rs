//! Runs slugs as dynos: sandboxed WebAssembly instances behind a `tower` service.
//!
//! # What it is
//!
//! The part of dyno that any Rust server can mount. It takes a slug (an app, compiled to WASI components and packed
//! by the slug compiler), keeps as many dynos of it as you ask for, and answers `http` requests with them; or it runs
//! a command of the app to its end. Guests see their own files, their config vars and the public internet, and nothing
//! else of the machine.
//!
//! What it does not do: listen on a socket, route by host name, store what should run. Those are yours, or the router's
//! and the platform's.
//!
//! The journey: a [`Runtime`] holds the engines, caches and threads of a host; a [`Process`] is one process type of one
//! release, compiled and linked; a [`Dyno`] is a name, a quota and a state machine around instances of it; a
//! [`Formation`] keeps a number of dynos and spreads requests over them.
//!
//! # A first dyno
//!
//! ```no_run
//! use dyno_runtime::{Formation, FormationOptions, Process, ProcessSpec, Runtime, RuntimeOptions};
//! # use bytes::Bytes;
//! # use http_body_util::Empty;
//! # use tower::ServiceExt;
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let slug = dyno_slug::SlugStore::open("/var/lib/my-server/slugs")?.import("blog.slug")?;
//! let runtime = Runtime::new(RuntimeOptions::new("/var/lib/my-server/state"))?;
//! let process = Process::load(&runtime, ProcessSpec::new("blog", slug, "web".parse()?)).await?;
//! let blog = Formation::start(&runtime, &process, FormationOptions::default());
//! blog.wait_up().await;
//!
//! let request = http::Request::get("/").header("host", "blog.example").body(Empty::<Bytes>::new())?;
//! let response = blog.oneshot(request).await?; // or give `blog` to axum, hyper, tower
//! # Ok(())
//! # }
//! ```
//!
//! Loading compiles the component once and keeps the native code below the state directory, authenticated by a key of
//! this host; after that it is mapped in milliseconds. The examples are small servers to begin from:
//!
//! | example | shows |
//! |---|---|
//! | `in_process` | a request without any socket |
//! | `embed` | a slug mounted at a path of an axum server |
//! | `hyper_server` | a plain hyper server |
//! | `run_command` | a command of an app, its output and exit status |
//! | `host_interface` | an import of the embedder's own |
//! | `log_and_metrics` | a log sink, and figures for a monitoring system |
//!
//! # Formations
//!
//! A [`Formation`] is a cheap handle: clones share the dynos, which stop with the last clone. It starts what
//! [`FormationOptions::quantity`] says, restarts what crashes (with a growing back-off), and [`Formation::scale`]
//! changes the number while requests are served. Each request goes to the dyno with the fewest in flight. A dyno that
//! has had nothing to do for a while drops its instances and is idle; the next request makes one in well under a
//! millisecond for a small component.
//!
//! Workers and one-off commands are dynos as well: [`run_command`] runs one to its end, [`exec`] does so for a bare
//! component without any slug.
//!
//! # Logs
//!
//! Give a [`LogSink`] to [`FormationOptions::log`] or [`DynoOptions::log`]. It gets what guests print, line by line, and
//! what happens to dynos (state changes, crashes with a trace, refused connections), each with the dyno's name, which is
//! the host's word and never read from the guest's text. Sinks are called from the threads that serve: they must not
//! block.
//!
//! # Limits
//!
//! A [`DynoSize`] is what one dyno may use; [`limits`] has every other bound with its reason. What a guest reaches is
//! [`RuntimeOptions::egress`], one policy for its HTTP and its sockets, checked on the address that is dialled.
//! [`ProcessSpec::allowed`] adds an app's own databases.
//!
//! # Custom host interfaces
//!
//! Guests may import all of WASI 0.2 and 0.3 (cli, clocks, filesystem, http, io, random, sockets), `wasi:config` (their
//! environment) and `wasi:keyvalue` (a small cache that an app's dynos share). [`RuntimeOptions::interfaces`] adds your
//! own, by wasmtime's `Linker`; [`Host`] tells a host function which app calls. A component that imports anything else is
//! refused by [`Process::load`], with the import's name.
//!
//! # Stopping
//!
//! [`Formation::drain`] takes no more requests, waits for those inside, and ends the dynos. Everything the runtime
//! started ends with it: when the last of the runtime, its processes, dynos and formations is dropped, the guest threads
//! and the epoch thread end. It works on your tokio runtime, of one thread or many, and starts none of its own but the
//! guest threads ([`RuntimeOptions::guest_threads`]).
//!
//! # Versions
//!
//! Semantic versioning; while it is 0.x, a new minor version may break. wasmtime's types are part of the API where
//! interfaces are added ([`wasmtime`] is re-exported); its next LTS is a new minor version here. The oldest Rust it
//! builds with is `rust-version` in its `Cargo.toml`, and raising that is a minor version as well.

mod backoff;
mod body;
mod boot;
mod budget;
mod dyno;
mod environment;
mod error;
mod exec;
mod files;
mod formation;
pub mod limits;
mod log;
mod mapped;
mod memory_budget;
mod process;
mod runtime;
mod size;
mod state;
mod static_site;
mod warm;

pub use body::{BoxError, RequestBody, ResponseBody};
pub use budget::system_advice;
pub use dyno::{Beginning, Dyno, DynoOptions, ExitStatus, RestPolicy};
pub use dyno_sandbox::{
    ClientKind, ClientStreams, Destination, DestinationError, EgressPolicy, GuestStreams, Host,
    HostInterfaces, Mount, MountedTree, Reach, TrustedRoots, TrustedRootsError, attach,
};
pub use error::{CallError, LoadError, RuntimeError};
pub use exec::{ExecSpec, exec, run_command};
pub use formation::{Formation, FormationOptions};
pub use log::{LogLine, LogSink, LogSource, NoLog};
pub use process::{Process, ProcessSpec};
pub use runtime::{Runtime, RuntimeOptions, RuntimeUsage};
pub use size::{DynoSize, DynoSizes};
pub use state::DynoState;

pub use dyno_sandbox::wasmtime;
