//! 0.3 handlers: a few instances per dyno, each with a few requests at once.
//!
//! An instance's event loop is a task that runs where it is needed: on the thread that brings it a request while
//! that is short, on the guest threads when it computes or is woken by I/O. A request goes to an instance that is
//! not running at this moment; a new one is made only when all of them are. When an instance fails, requests that
//! it had not yet taken go to another one; what it had taken fails with it, because its handler may have acted.

#[cfg(test)]
mod tests;
mod worker;

use crate::call::{AnswerBody, Finished};
use crate::guest::Guest;
use crate::host::BoxError;
use crate::instance::InstanceSpec;
use crate::scheduling::{CpuShare, GuestThreads, current_shard};
use bytes::Bytes;
use futures::channel::oneshot;
use http_body::Body;
use http_body_util::BodyExt;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};
use worker::{Job, Worker};

/// Instances a request is offered to before it is given up.
const ATTEMPTS_MAX: usize = 3;

/// How instances of a 0.3 handler are shared and when they end.
#[derive(Clone)]
pub struct ConcurrentSpec {
    /// What each instance sees.
    pub instance: Arc<InstanceSpec>,
    /// Instances there may be at once. The caller lets in at most this times `requests_at_once_max` requests.
    pub instances_max: usize,
    /// Requests one instance answers at once.
    pub requests_at_once_max: usize,
    /// Requests one instance answers in its life.
    pub requests_max: u64,
    /// Age at which an instance takes no more requests.
    pub age_max: Duration,
    /// Time to the head of an answer.
    pub request_timeout: Duration,
    /// Called when an instance ended other than by age.
    pub failed: Arc<dyn Fn(Finished) + Send + Sync>,
}

impl fmt::Debug for ConcurrentSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConcurrentSpec")
            .field("instances_max", &self.instances_max)
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
    inner: Arc<Inner>,
}

struct Inner {
    guest: Guest,
    spec: ConcurrentSpec,
    threads: GuestThreads,
    share: Arc<CpuShare>,
    workers: Mutex<Vec<Arc<Worker>>>,
}

impl ConcurrentService {
    /// A service without instances; the first request makes one. They run under `share`.
    pub fn new(
        guest: Guest,
        spec: ConcurrentSpec,
        threads: GuestThreads,
        share: Arc<CpuShare>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                guest,
                spec,
                threads,
                share,
                workers: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Answers a request. Dropping the future leaves the guest a short while to finish.
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
        let inner = self.inner.clone();
        Box::pin(inner.answer(request))
    }

    /// Instances there are now.
    pub fn instances(&self) -> usize {
        let workers = self.inner.workers();
        workers.iter().filter(|worker| !worker.has_ended()).count()
    }
}

impl fmt::Debug for ConcurrentService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConcurrentService")
            .field("instances", &self.instances())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(
        self: Arc<Self>,
        mut request: http::Request<WasiBody>,
    ) -> Result<http::Response<AnswerBody>, ConcurrentError> {
        for _ in 0..ATTEMPTS_MAX {
            let (sender, mut head) = oneshot::channel();
            // Dropped with this future, which tells the guest's instance that the client has left.
            let (_client, left) = tokio::sync::oneshot::channel();
            let job = Job {
                request,
                sender,
                left,
            };
            let worker = self.pick();
            if let Some(back) = worker.take_on(job) {
                request = back.request;
                continue;
            }
            let mut early = None;
            worker.run(|| {
                // The guest goes on when its body is taken: a short one is whole before this returns.
                early = match early.take() {
                    Some(Ok(response)) => Some(Ok(gathered(response))),
                    None => match head.try_recv() {
                        Ok(Some(Ok(response))) => Some(Ok(gathered(with_mark(response, &worker)))),
                        Ok(Some(Err(error))) => Some(Err(error)),
                        _ => None,
                    },
                    failed => failed,
                };
            });
            let head = match early {
                Some(head) => Ok(head),
                None => tokio::time::timeout(self.spec.request_timeout, head)
                    .await
                    .map_err(|_| ConcurrentError::Timeout)?
                    .map(|head| head.map(|response| gathered(with_mark(response, &worker)))),
            };
            match head {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => request = NotTaken::request(error).map_err(classify)?,
                Err(oneshot::Canceled) => {
                    return Err(ConcurrentError::NoResponse("its instance ended".into()));
                }
            }
        }
        Err(ConcurrentError::NotStarted(
            "its instances end before they take a request".into(),
        ))
    }

    /// An instance that is not running, from this thread's own on; a new one while there may be more; else the
    /// one with the fewest requests.
    fn pick(self: &Arc<Self>) -> Arc<Worker> {
        let mut workers = self.workers();
        workers.retain(|worker| !worker.has_ended());
        let (first, number) = (current_shard(), workers.len());
        let open = (0..number)
            .map(|offset| &workers[(first + offset) % number])
            .filter(|worker| worker.is_open());
        let chosen = match open.clone().find(|worker| worker.is_free()) {
            None if number >= self.spec.instances_max => {
                open.min_by_key(|worker| worker.requests())
            }
            free => free,
        };
        if let Some(chosen) = chosen {
            return chosen.clone();
        }
        let worker = Worker::hire(self);
        workers.push(worker.clone());
        worker
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for worker in self.workers().iter() {
            worker.retire();
        }
    }
}

/// No instance could be made.
#[derive(Debug, Error)]
#[error("{0}")]
struct NotStarted(String);

/// The answer, whose body tells when its instance is lost.
fn with_mark(response: http::Response<WasiBody>, worker: &Worker) -> http::Response<AnswerBody> {
    response.map(|body| AnswerBody::of_stream(body, worker.lost()))
}

fn gathered(response: http::Response<AnswerBody>) -> http::Response<AnswerBody> {
    response.map(AnswerBody::gather)
}

/// An instance ended before it took the request, which is handed back untouched.
#[derive(Debug, Error)]
#[error("the instance ended before it took the request")]
struct NotTaken(Mutex<Option<http::Request<WasiBody>>>);

impl NotTaken {
    fn error(request: http::Request<WasiBody>) -> wasmtime::Error {
        wasmtime::Error::new(Self(Mutex::new(Some(request))))
    }

    /// The request, if that is what the error says.
    fn request(error: wasmtime::Error) -> Result<http::Request<WasiBody>, wasmtime::Error> {
        let Self(request) = error.downcast()?;
        let request = request.into_inner().unwrap_or_else(PoisonError::into_inner);
        request.ok_or_else(|| wasmtime::Error::msg("the request is gone"))
    }
}

fn classify(error: wasmtime::Error) -> ConcurrentError {
    if let Some(NotStarted(reason)) = error.downcast_ref() {
        ConcurrentError::NotStarted(reason.clone())
    } else {
        ConcurrentError::NoResponse(format!("{error:#}"))
    }
}
