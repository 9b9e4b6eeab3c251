//! One dyno as the router sees it: a name for the log line, a service, a count of requests in flight.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{Request, Response};
use tokio::sync::Notify;
use tower::{Service, ServiceExt};

use crate::body::{BoxError, RequestBody, ResponseBody};

/// What a backend's call comes to.
pub(crate) type BackendResult = Result<Response<ResponseBody>, BackendError>;
type CallFuture = Pin<Box<dyn Future<Output = BackendResult> + Send>>;

/// One dyno, or anything else that answers requests.
///
/// # Cancel safety
/// When the client leaves or a time-out strikes, the router drops the future of the call, or the
/// response body. What then happens to the work behind it is the service's own decision: one that
/// must not be interrupted in the middle (a guest call) hands the work to a task of its own and only
/// the waiting is dropped.
pub struct Backend {
    dyno: Arc<str>,
    service: Box<dyn Call>,
    in_flight: AtomicUsize,
    /// Set by the first [`Backend::idle`], so that the request path pays for no wake-up nobody waits for.
    watched: AtomicBool,
    became_idle: Notify,
}

impl Backend {
    /// Wraps a service that answers for `dyno` (`web.1`, the name in the log line).
    ///
    /// The service is cloned for each request, so clones must be cheap and share their state.
    pub fn new<S>(dyno: impl Into<Arc<str>>, service: S) -> Arc<Self>
    where
        S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = BackendError>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Arc::new(Self {
            dyno: dyno.into(),
            service: Box::new(service),
            in_flight: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            became_idle: Notify::new(),
        })
    }

    /// The dyno's name.
    #[must_use]
    pub fn dyno(&self) -> &str {
        &self.dyno
    }

    /// Requests that were given to this backend and whose response has not ended.
    ///
    /// After a backend was taken out of its route this only falls, except for requests that had
    /// already chosen it: a stopped dyno answers those with [`BackendErrorKind::Unavailable`].
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Waits until no request is in flight.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn idle(&self) {
        self.watched.store(true, Ordering::SeqCst);
        loop {
            let notified = self.became_idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.dyno
    }

    pub(crate) fn call(&self, request: Request<RequestBody>) -> CallFuture {
        self.service.call(request)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("dyno", &self.dyno)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// A service with its type forgotten. One box per request (the future); tower's own boxed services
/// cost a second one for the clone.
trait Call: Send + Sync {
    fn call(&self, request: Request<RequestBody>) -> CallFuture;
}

impl<S> Call for S
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = BackendError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    fn call(&self, request: Request<RequestBody>) -> CallFuture {
        Box::pin(self.clone().oneshot(request))
    }
}

/// One request in flight on a backend; counted from creation to drop.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Backend>);

impl InFlight {
    pub(crate) fn new(backend: &Arc<Backend>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(backend))
    }

    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.0.watched.load(Ordering::SeqCst) {
            self.0.became_idle.notify_waiters();
        }
    }
}

/// Why a backend gave no response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// This backend cannot take the request (draining, just crashed, not up) and did not touch it:
    /// the request comes back with the error and another backend is tried.
    Unavailable,
    /// The app's dyno is crashed (H10).
    Crashed,
    /// The backend's own bounded queue is full (H11).
    QueueFull,
    /// The guest ended or trapped without a response head (H13).
    NoResponse,
    /// The guest computed or waited for too long (H12).
    Timeout,
    /// The dyno did not come up in time (H20).
    BootTimeout,
    /// The dyno died while it worked on the request (H18).
    Interrupted,
    /// Our own failure, and only that (H99).
    Platform,
}

/// A backend's refusal or failure before a response head.
///
/// Failures after the head are errors of the response body.
#[derive(thiserror::Error)]
#[error("backend gave no response: {kind:?}")]
pub struct BackendError {
    kind: BackendErrorKind,
    request: Option<Box<Request<RequestBody>>>,
    #[source]
    source: Option<BoxError>,
}

impl BackendError {
    /// An error of the given kind.
    #[must_use]
    pub fn new(kind: BackendErrorKind) -> Self {
        Self {
            kind,
            request: None,
            source: None,
        }
    }

    /// Hands the untouched request back, so that another backend can be tried.
    #[must_use]
    pub fn unavailable(request: Request<RequestBody>) -> Self {
        Self {
            kind: BackendErrorKind::Unavailable,
            request: Some(Box::new(request)),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind
    }

    pub(crate) fn into_request(self) -> Option<Request<RequestBody>> {
        self.request.map(|request| *request)
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendError")
            .field("kind", &self.kind)
            .field("request_handed_back", &self.request.is_some())
            .field("source", &self.source)
            .finish()
    }
}
