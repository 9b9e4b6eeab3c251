//! The edge: listeners, routes, time-outs, error codes and the request log.
//!
//! A [`Router`] serves HTTP/1.1 and HTTP/2 (prior knowledge) on a [`Listener`], finds the app by the
//! host name, picks one of its [`Backend`]s and streams the answer back. A backend is any
//! [`tower::Service`]; the router knows nothing of what stands behind it. With [`Tls`] the same port
//! takes TLS too, and after it what [`Rendezvous`] joins: the first bytes of a connection tell.

mod accept;
mod answer;
mod backend;
mod body;
mod burst;
mod client_socket;
mod connection;
mod drive;
mod duration_setting;
mod edges;
mod error_code;
mod error_page;
mod fallback;
mod first_bytes;
mod forwarded_headers;
mod host;
mod identity;
mod journey;
pub mod limits;
mod listener;
mod options;
mod refusal;
mod rendezvous;
mod request_guard;
mod request_log;
mod response_check;
mod route;
mod route_table;
mod router;
mod tls;
mod upload;
mod waiting;

pub use backend::{Backend, BackendError, BackendErrorKind};
pub use body::{BoxError, RequestBody, ResponseBody};
pub use edges::{EdgeSockets, Edges};
pub use error_code::{ErrorCode, Severity};
pub use fallback::Fallback;
pub use identity::{Identity, IdentityError};
pub use listener::Listener;
pub use options::{Limits, RouterOptions, Timeouts};
pub use rendezvous::{Rendezvous, RendezvousStream, RendezvousToken, UnknownToken};
pub use request_log::{RequestLog, RequestRecord, RequestTarget, TracingLog};
pub use route::{AppRoute, RouteState};
pub use route_table::{RouteKey, RouteTable};
pub use router::{DrainReport, Router};
pub use tls::Tls;
