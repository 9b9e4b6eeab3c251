//! 0.3 handlers: many requests share an instance, through wasmtime's own handler.
//!
//! That handler queues without a bound and learns of an expired request only when the guest lets go, so the
//! caller puts its own admission in front, and the instance's expiration is checked from outside the guest too.

use crate::call::{AnswerBody, Finished, exit_status};
use crate::guest::Guest;
use crate::host::{BoxError, Host};
use crate::instance::InstanceSpec;
use crate::scheduling::GuestThreads;
use crate::trap;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, Proxy, ProxyHandler, ShouldAccept,
    WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

/// How instances of a 0.3 handler are shared and when they end.
#[derive(Clone)]
pub struct ConcurrentSpec {
    /// What each instance sees.
    pub instance: Arc<InstanceSpec>,
    /// Requests one instance answers at once.
    pub requests_at_once_max: usize,
    /// Requests one instance answers in its life.
    pub requests_max: usize,
    /// Time to the head of an answer.
    pub request_timeout: Duration,
    /// How long an instance without requests is kept.
    pub idle_timeout: Duration,
    /// Called when an instance ended other than by age.
    pub failed: Arc<dyn Fn(Finished) + Send + Sync>,
}

impl fmt::Debug for ConcurrentSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConcurrentSpec")
            .field("requests_at_once_max", &self.requests_at_once_max)
            .finish_non_exhaustive()
    }
}

/// Why a 0.3 handler gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConcurrentError {
    /// The guest trapped, ended its process, or returned an error instead of a response.
    #[error("the guest gave no response: {0}")]
    NoResponse(String),
    /// The head did not come in time.
    #[error("the guest did not answer in time")]
    Timeout,
    /// No instance could be made.
    #[error("no instance could be started: {0}")]
    NotStarted(String),
}

/// A 0.3 handler with its instances.
#[derive(Clone)]
pub struct ConcurrentService {
    handler: ProxyHandler<State>,
    threads: GuestThreads,
}

impl fmt::Debug for ConcurrentService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConcurrentService")
            .finish_non_exhaustive()
    }
}

impl ConcurrentService {
    /// A service without instances; the first request makes one.
    pub fn new(guest: Guest, spec: ConcurrentSpec, threads: GuestThreads) -> Self {
        Self {
            handler: ProxyHandler::new(State { guest, spec }),
            threads,
        }
    }

    /// Answers a request on the guest threads.
    pub fn handle<B>(
        &self,
        request: http::Request<B>,
    ) -> Pin<Box<dyn Future<Output = Result<http::Response<AnswerBody>, ConcurrentError>> + Send>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| {
            body.map_err(|error| {
                let error: BoxError = error.into();
                HttpError::InternalError(Some(error.to_string()))
            })
            .boxed_unsync()
        });
        let handler = self.handler.clone();
        let mut answer = Box::pin(async move { handler.handle((), request).await });
        let threads = self.threads.clone();
        Box::pin(async move {
            // The handler spawns its workers where it is polled: under the guest threads' context.
            let polled = std::future::poll_fn(move |context| {
                threads.within(|| answer.as_mut().poll(context))
            });
            polled
                .await
                .map(|response| response.map(AnswerBody::stream))
                .map_err(|error| classify(&error))
        })
    }
}

fn classify(error: &wasmtime::Error) -> ConcurrentError {
    if error.is::<ExpirationError>() {
        ConcurrentError::Timeout
    } else if error.is::<InstantiationError<()>>() {
        ConcurrentError::NotStarted(format!("{error:#}"))
    } else {
        ConcurrentError::NoResponse(format!("{error:#}"))
    }
}

struct State {
    guest: Guest,
    spec: ConcurrentSpec,
}

impl HandlerState for State {
    type StoreData = Host;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Host, Expiration, Worker>> {
        let mut store = self.spec.instance.store(self.guest.engine())?;
        let service = self.guest.service()?.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: |host| host.http(),
            expiration: Expiration {
                request_timeout: self.spec.request_timeout,
                idle_timeout: self.spec.idle_timeout,
                timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
                memory_exceeded: Box::pin(self.spec.instance.memory.wait_exceeded()),
            },
            state: Worker {
                spec: self.spec.clone(),
            },
        })
    }
}

struct Worker {
    spec: ConcurrentSpec,
}

impl WorkerState for Worker {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, at_once: usize, total: usize) -> ShouldAccept {
        if total >= self.spec.requests_max {
            ShouldAccept::Never
        } else if at_once >= self.spec.requests_at_once_max {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, Host>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(tokio::time::sleep(self.spec.request_timeout))
    }

    fn drop(&self, store: Store<Host>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result {
            (self.spec.failed)(match exit_status(&error) {
                Some(status) => Finished::Exited(status),
                None => Finished::Trapped(trap::describe(&error)),
            });
        }
    }
}

/// Ends an instance from outside its event loop, which a busy guest may not turn.
struct Expiration {
    request_timeout: Duration,
    idle_timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// Another instance of the dyno may be what went too far: all of them end.
    memory_exceeded: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if self.memory_exceeded.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let allowed = match status {
            WorkerStatus::Idle => self.idle_timeout,
            WorkerStatus::Requests => self.request_timeout + crate::limits::ORPHAN_GRACE,
            WorkerStatus::PostReturn => self.request_timeout,
        };
        let due = tokio::time::Instant::from_std(start + allowed);
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(context)
    }
}
