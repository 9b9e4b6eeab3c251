//! The service behind a bare address or `localhost`: the platform's API, or any other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use crate::body::{BoxError, RequestBody, ResponseBody};

type CallFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;
type CallFn = dyn Fn(Request<RequestBody>) -> CallFuture + Send + Sync;

/// A tower service that answers the requests which are for no app.
///
/// The time-outs of dynos (H12, H15) do not apply to it: it may stream logs for hours.
#[derive(Clone)]
pub struct Fallback(Arc<CallFn>);

impl Fallback {
    /// Wraps a service, for example an axum router.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // Adapted outside of an async block: inside one the compiler cannot prove the future `Send`.
        let service = service
            .map_err(Into::into)
            .map_response(|response: Response<B>| {
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            });
        Self(Arc::new(move |request| {
            Box::pin(service.clone().oneshot(request))
        }))
    }

    pub(crate) fn call(&self, request: Request<RequestBody>) -> CallFuture {
        (self.0)(request)
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fallback")
    }
}
