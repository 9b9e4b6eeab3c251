//! The API as the router's fallback service.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use dyno_router::RequestBody;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use http::{Request, StatusCode};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tower::{Service, ServiceExt};

/// Holds the API for the router. It is filled once the API's parts exist, which need the router, and emptied when
/// the platform ends. Clones share it.
///
/// Its handlers run where it was made and not on the thread that serves the connection: what they start outlives that
/// thread, and no request for an app waits behind them.
#[derive(Clone)]
pub(crate) struct ApiService {
    api: Arc<ArcSwapOption<axum::Router>>,
    runtime: Handle,
}

impl ApiService {
    /// An API that answers 503 for now. Must be called inside the runtime where it is to run.
    pub fn new() -> Self {
        Self {
            api: Arc::default(),
            runtime: Handle::current(),
        }
    }

    /// Answers requests from now on.
    pub fn set(&self, api: axum::Router) {
        self.api.store(Some(Arc::new(api)));
    }

    /// Answers 503 from now on.
    pub fn clear(&self) {
        self.api.store(None);
    }
}

impl Service<Request<RequestBody>> for ApiService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Some(api) = self.api.load_full() else {
            return ready(Ok(StatusCode::SERVICE_UNAVAILABLE.into_response())).boxed();
        };
        let api = axum::Router::clone(&api);
        let answer = self.runtime.spawn(api.oneshot(request.map(Body::new)));
        // A client that leaves ends its handler, as if it ran on the connection.
        let answer = AbortOnDropHandle::new(answer);
        async move {
            match answer.await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(%error, "a handler of the API failed");
                    Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response())
                }
            }
        }
        .boxed()
    }
}
