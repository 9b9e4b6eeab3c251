//! The API as the router's fallback service.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use dyno_router::RequestBody;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use tower::{Service, ServiceExt};

/// Holds the API for the router. It is filled once the API's parts exist, which need the router, and emptied when
/// the platform ends. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct ApiService(Arc<ArcSwapOption<axum::Router>>);

impl ApiService {
    /// Answers requests from now on.
    pub fn set(&self, api: axum::Router) {
        self.0.store(Some(Arc::new(api)));
    }

    /// Answers 503 from now on.
    pub fn clear(&self) {
        self.0.store(None);
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
        let api = self.0.load_full();
        async move {
            match api {
                Some(api) => {
                    let api = axum::Router::clone(&api);
                    api.oneshot(request.map(Body::new)).await
                }
                None => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            }
        }
        .boxed()
    }
}
