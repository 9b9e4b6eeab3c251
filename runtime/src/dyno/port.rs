//! A web process that listens on `$PORT`: one running command, and requests to it over connections in memory.
//!
//! The port is on a loopback that the dyno has to itself, so "it listens" is an event, and there is no port of the host that
//! a neighbour could connect to. Requests are HTTP/1.1, kept alive while the guest keeps them alive.

mod connection;
mod message;

use self::connection::{Lease, NotSent, Pool};
use self::message::{Upgrade, prepare_request, prepare_response};
use super::life::Crash;
use super::places::Place;
use super::{InFlight, Shared, boxed_body};
use crate::body::{RequestBody, ResponseBody};
use crate::error::CallError;
use crate::limits::{GUEST_PORT, REQUEST_TIMEOUT};
use crate::process::Process;
use dyno_sandbox::{
    CommandExit, ConnectError, Guest, GuestThreads, Handler, InstanceSpec, Loopback, run_command,
};
use http_body_util::Empty;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// A process that listens, and the connections to it. Dropping it ends the process.
pub(super) struct Port {
    pool: Arc<Pool>,
    threads: GuestThreads,
    process: AbortHandle,
}

/// What a request holds until its response has gone.
pub(super) type Held = (Place, InFlight);

impl Port {
    /// Whether a process is served by its port: it is `web`, and a command rather than a handler.
    pub(super) fn serves(process: &Process) -> bool {
        process.handler() == Some(Handler::Command) && process.process_type().as_str() == "web"
    }

    /// Starts the process and waits until it listens. Dropping the future ends the process.
    ///
    /// # Errors
    /// How the process ended, when it did so instead.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        guest: Arc<Guest>,
        spec: InstanceSpec,
    ) -> Result<(Self, oneshot::Receiver<Crash>), Crash> {
        let loopback = Loopback::new(GUEST_PORT);
        let (report, mut ended) = oneshot::channel();
        let run = run(shared.clone(), guest, spec, loopback.clone());
        let process = shared.runtime.threads().spawn(async move {
            // The dyno may have been stopped already.
            let _late = report.send(run.await);
        });
        let idle_max = shared.options.size.concurrency as usize;
        let port = Self {
            pool: Pool::new(loopback.clone(), idle_max),
            threads: shared.runtime.threads().clone(),
            process: process.abort_handle(),
        };
        tokio::select! {
            biased;
            end = &mut ended => Err(end.unwrap_or_else(|_| Crash::NotStarted("it was stopped".into()))),
            () = loopback.listening() => Ok((port, ended)),
        }
    }

    /// Lets no connection in. Those that have become tunnels end; answers that stream go on.
    pub(super) fn shut(&self) {
        self.pool.shut();
    }

    /// Answers a request.
    pub(super) async fn answer(
        &self,
        mut request: http::Request<RequestBody>,
        held: Held,
    ) -> Result<http::Response<ResponseBody>, CallError> {
        let upgrade = prepare_request(&mut request);
        let head = tokio::time::timeout(REQUEST_TIMEOUT, self.send(request)).await;
        let (mut response, lease) = head.map_err(|_| CallError::Timeout)??;
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return match upgrade {
                Some(upgrade) => Ok(self.tunnel(upgrade, response, lease, held)),
                None => Err(CallError::NoResponse {
                    reason: "the process switched protocols, which nobody asked for".into(),
                }),
            };
        }
        prepare_response(response.headers_mut());
        Ok(response.map(|body| lease.stream(body, held)))
    }

    async fn send(
        &self,
        mut request: http::Request<RequestBody>,
    ) -> Result<(http::Response<hyper::body::Incoming>, Lease), CallError> {
        if let Some(mut lease) = self.pool.take_idle() {
            match lease.send(request).await {
                Ok(response) => return Ok((response, lease)),
                // The guest had closed the connection: that says nothing of this request.
                Err(NotSent::Untouched(back)) => request = *back,
                Err(NotSent::Lost(reason)) => return Err(CallError::NoResponse { reason }),
            }
        }
        let mut lease = match self.pool.connect().await {
            Ok(lease) => lease,
            Err(ConnectError::NotListening) => return Err(CallError::NotUp(Box::new(request))),
            Err(_) => return Err(CallError::QueueFull),
        };
        match lease.send(request).await {
            Ok(response) => Ok((response, lease)),
            Err(NotSent::Untouched(_)) => Err(CallError::NoResponse {
                reason: "the process accepted a connection and closed it".into(),
            }),
            Err(NotSent::Lost(reason)) => Err(CallError::NoResponse { reason }),
        }
    }

    /// Joins client and guest, now that they speak something else.
    fn tunnel(
        &self,
        upgrade: Upgrade,
        mut response: http::Response<hyper::body::Incoming>,
        lease: Lease,
        held: Held,
    ) -> http::Response<ResponseBody> {
        let guest = hyper::upgrade::on(&mut response);
        let (driven, shut) = (lease.drive_to_end(), self.pool.wait_shut());
        self.threads.spawn(async move {
            let joined = async { tokio::join!(driven, upgrade.join(guest)) };
            tokio::select! {
                _ended = joined => {}
                () = shut => {}
            }
            drop(held);
        });
        response.map(|_| boxed_body(Empty::new()))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.process.abort();
    }
}

/// Runs a command with a loopback of its own, and says once when it tries to listen elsewhere.
pub(super) async fn run(
    shared: Arc<Shared>,
    guest: Arc<Guest>,
    mut spec: InstanceSpec,
    loopback: Arc<Loopback>,
) -> Crash {
    spec.loopback = Some(loopback.clone());
    let threads = shared.runtime.threads();
    let mut running = threads.run(&shared.cpu, run_command(&guest, Arc::new(spec)));
    let exit = tokio::select! {
        biased;
        address = loopback.refused_bind() => {
            shared.say(format!(
                "Error R11 (Bad bind) -> Process tried to listen on {address}, should be 0.0.0.0:$PORT ({})",
                loopback.port()
            ));
            running.await
        }
        exit = &mut running => exit,
    };
    match exit.unwrap_or(CommandExit::NotStarted("it was stopped".into())) {
        CommandExit::Status(status) => Crash::Exited(status),
        CommandExit::Trapped(text) => Crash::Trapped(text),
        CommandExit::NotStarted(reason) => Crash::NotStarted(reason),
    }
}
