//! A request's way: refused, or to the fallback, or to a dyno of its app, and the answer back.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::answer::{Answer, Stream, StreamOptions};
use crate::backend::{Backend, BackendError, BackendErrorKind};
use crate::body::{RequestBody, ResponseBody};
use crate::burst;
use crate::connection::ConnectionContext;
use crate::error_code::ErrorCode;
use crate::error_page::Page;
use crate::fallback::Fallback;
use crate::forwarded_headers::{prepare_request, prepare_response, prepare_switch};
use crate::host::{Destination, Host};
use crate::limits::BACKEND_TRIES_MAX;
use crate::refusal::{self, Refusal};
use crate::request_guard::RequestGuard;
use crate::request_log::RequestTarget;
use crate::response_check::check_response;
use crate::route::AppRoute;
use crate::router::Edge;
use crate::upload::{self, UploadFailure, UploadProgress};
use crate::waiting::{Tried, admit};

/// Nothing can be answered: the connection (HTTP/1) or stream (HTTP/2) breaks off. The log line is written.
#[derive(Debug, thiserror::Error)]
#[error("request broken off")]
pub(crate) struct Abort;

type Outcome = Result<Response<Answer>, Abort>;

/// What the answer's framing needs to know of the request.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    version: Version,
    /// The request's `Accept` fields, for the format of a page.
    accept: HeaderMap,
    /// Whether the dyno may switch protocols.
    may_switch: bool,
}

enum Target {
    Fallback(Fallback),
    App(Arc<AppRoute>),
    Unknown,
}

pub(crate) async fn answer(
    connection: Arc<ConnectionContext>,
    request: Request<Incoming>,
) -> Outcome {
    let edge = Arc::clone(connection.edge());
    let (mut parts, incoming) = request.into_parts();
    let mut guard = RequestGuard::new(Arc::clone(&connection), &parts);
    let mut asked = Asked {
        method: parts.method.clone(),
        version: parts.version,
        accept: HeaderMap::new(),
        may_switch: false,
    };

    let host = refusal::take_host(&mut parts);
    let target = match &host {
        Ok(host) => find(&edge, host),
        Err(_) => Target::Unknown,
    };
    guard.set_host(parts.headers.get(header::HOST));
    match &target {
        Target::App(route) => guard.set_target(RequestTarget::App, Some(Arc::clone(route.app()))),
        Target::Fallback(_) => guard.set_target(RequestTarget::Fallback, None),
        Target::Unknown => {}
    }
    if let Err(refusal) = host.and_then(|_| refusal::check(&parts, &edge.options.limits)) {
        return Ok(refuse(guard, refusal, &parts.headers));
    }
    let forwarded = prepare_request(&mut parts, &connection);
    asked.may_switch = forwarded.may_switch;
    guard.set_forwarded(forwarded);
    if let Some(accept) = parts.headers.get(header::ACCEPT) {
        asked.accept.insert(header::ACCEPT, accept.clone());
    }
    let (body, progress) = upload::receive(incoming, edge.options.timeouts.idle);
    let request = Request::from_parts(parts, body);
    match target {
        Target::App(route) => to_app(&edge, guard, &route, request, progress, asked).await,
        Target::Fallback(fallback) => to_fallback(guard, &fallback, request, &asked).await,
        Target::Unknown => Ok(page(guard, Page::NoSuchApp, None, &asked.accept)),
    }
}

fn find(edge: &Edge, host: &Host) -> Target {
    let route = match host.destination() {
        Destination::App(name) => edge.routes.app(name),
        Destination::Name(name) => edge.routes.host(name),
        Destination::Fallback => {
            return edge
                .options
                .fallback
                .clone()
                .map_or(Target::Unknown, Target::Fallback);
        }
    };
    route.map_or(Target::Unknown, Target::App)
}

async fn to_fallback(
    mut guard: RequestGuard,
    fallback: &Fallback,
    request: Request<RequestBody>,
    asked: &Asked,
) -> Outcome {
    match fallback.call(request).await {
        Ok(response) => Ok(relay(guard, response, asked, None)),
        Err(error) => {
            tracing::error!(error = &*error, "the fallback service failed");
            Ok(fail(&mut guard, ErrorCode::H99, &asked.accept))
        }
    }
}

async fn to_app(
    edge: &Edge,
    mut guard: RequestGuard,
    route: &Arc<AppRoute>,
    mut request: Request<RequestBody>,
    progress: Option<Arc<UploadProgress>>,
    asked: Asked,
) -> Outcome {
    let timeouts = &edge.options.timeouts;
    let boot_deadline = Instant::from_std(guard.arrived()) + timeouts.boot_wait;
    let mut tried = Tried::default();
    loop {
        let backend = match admit(route, &mut tried, boot_deadline).await {
            Ok(in_flight) => guard.dispatch(in_flight),
            Err(code) => return Ok(fail(&mut guard, code, &asked.accept)),
        };
        let first_byte = first_byte_deadline(timeouts.first_byte, progress.as_deref());
        let result = tokio::select! {
            biased;
            result = backend.call(request) => result,
            // The call is dropped; whether the dyno goes on working is its own decision.
            () = first_byte => return Ok(fail(&mut guard, ErrorCode::H12, &asked.accept)),
        };
        match result {
            Ok(response)
                if asked.may_switch && response.status() == StatusCode::SWITCHING_PROTOCOLS =>
            {
                return Ok(switch(guard, response));
            }
            Ok(response) => {
                let response = relay(guard, response, &asked, Some(timeouts.idle));
                burst::join().await;
                return Ok(response);
            }
            Err(error) if error.kind() == BackendErrorKind::Unavailable => {
                match again(&mut tried, backend, error) {
                    Ok(returned) => request = returned,
                    Err(code) => return Ok(fail(&mut guard, code, &asked.accept)),
                }
                guard.returned();
            }
            Err(error) => return failed(&mut guard, &error, progress.as_deref(), &asked.accept),
        }
    }
}

/// The request that comes back from a backend which did not take it, if it may be tried elsewhere.
fn again(
    tried: &mut Tried,
    backend: Arc<Backend>,
    error: BackendError,
) -> Result<Request<RequestBody>, ErrorCode> {
    let Some(request) = error.into_request() else {
        tracing::error!(
            dyno = backend.dyno(),
            "a backend is unavailable but kept the request"
        );
        return Err(ErrorCode::H99);
    };
    tried.add(backend);
    if tried.count() >= BACKEND_TRIES_MAX {
        Err(ErrorCode::H21)
    } else {
        Ok(request)
    }
}

/// A dyno took the request and gave no response head.
fn failed(
    guard: &mut RequestGuard,
    error: &BackendError,
    progress: Option<&UploadProgress>,
    accept: &HeaderMap,
) -> Outcome {
    match progress.and_then(UploadProgress::failure) {
        // The guest failed because its request broke off; the client is not there to read a page.
        Some(UploadFailure::Broken) => {
            guard.failed(ErrorCode::H27);
            return Err(Abort);
        }
        Some(UploadFailure::Silent) => {
            guard.failed(ErrorCode::H28);
            return Err(Abort);
        }
        None => {}
    }
    let code = match error.kind() {
        BackendErrorKind::Crashed => ErrorCode::H10,
        BackendErrorKind::QueueFull => ErrorCode::H11,
        BackendErrorKind::NoResponse => ErrorCode::H13,
        BackendErrorKind::BootTimeout => ErrorCode::H20,
        BackendErrorKind::Interrupted => ErrorCode::H18,
        BackendErrorKind::Timeout => ErrorCode::H12,
        BackendErrorKind::Platform | BackendErrorKind::Unavailable => {
            tracing::error!(%error, "a request failed on the platform's side");
            ErrorCode::H99
        }
    };
    Ok(fail(guard, code, accept))
}

/// Resolves when the dyno has been silent for too long; each piece of the client's body gives it new time.
async fn first_byte_deadline(timeout: std::time::Duration, progress: Option<&UploadProgress>) {
    let mut deadline = Instant::now() + timeout;
    loop {
        tokio::time::sleep_until(deadline).await;
        let renewed = progress.map_or(deadline, |progress| progress.last_activity() + timeout);
        if renewed <= deadline {
            return;
        }
        deadline = renewed;
    }
}

/// Sends a response on: checked, its header made ours, its body counted.
fn relay(
    mut guard: RequestGuard,
    response: Response<ResponseBody>,
    asked: &Asked,
    idle_timeout: Option<std::time::Duration>,
) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    let length = match check_response(parts.status, &parts.headers) {
        Ok(length) => length,
        Err(fault) => {
            guard.set_cause(fault.cause);
            return fail(&mut guard, fault.code, &asked.accept);
        }
    };
    prepare_response(&mut parts.headers);
    parts.version = Version::HTTP_11;
    guard.responding(parts.status, &parts.headers);
    let bodiless = asked.method == Method::HEAD
        || matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    if bodiless {
        drop(body);
        guard.succeeded();
        return Response::from_parts(parts, Answer::Page(None));
    }
    let content_length = length.or_else(|| http_body::Body::size_hint(&body).exact());
    let options = StreamOptions {
        content_length,
        ends_with_close: asked.version == Version::HTTP_10 && content_length.is_none(),
        idle_timeout,
    };
    Response::from_parts(parts, Answer::Stream(Stream::new(body, guard, options)))
}

/// The connection becomes a tunnel; its dyno has the client's side and joins it with its own.
fn switch(mut guard: RequestGuard, response: Response<ResponseBody>) -> Response<Answer> {
    let (mut parts, _) = response.into_parts();
    prepare_switch(&mut parts.headers);
    parts.version = Version::HTTP_11;
    guard.responding(parts.status, &parts.headers);
    guard.connection().clocks().became_tunnel();
    guard.succeeded();
    Response::from_parts(parts, Answer::Page(None))
}

/// Answers with the page of an error.
fn fail(guard: &mut RequestGuard, code: ErrorCode, accept: &HeaderMap) -> Response<Answer> {
    page_of(guard, Page::Error(code), Some(code), accept)
}

/// Answers a request that is no good, and ends the connection: what follows it cannot be trusted.
fn refuse(mut guard: RequestGuard, refusal: Refusal, accept: &HeaderMap) -> Response<Answer> {
    guard.set_cause(refusal.cause);
    let mut response = page_of(
        &mut guard,
        Page::Refused(refusal.status),
        Some(ErrorCode::H26),
        accept,
    );
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn page(
    mut guard: RequestGuard,
    page: Page,
    code: Option<ErrorCode>,
    accept: &HeaderMap,
) -> Response<Answer> {
    page_of(&mut guard, page, code, accept)
}

fn page_of(
    guard: &mut RequestGuard,
    page: Page,
    code: Option<ErrorCode>,
    accept: &HeaderMap,
) -> Response<Answer> {
    let response = page.response(accept);
    guard.responding(response.status(), response.headers());
    guard.sent(response.body().len());
    match code {
        Some(code) => guard.failed(code),
        None => guard.succeeded(),
    }
    response.map(|body| Answer::Page(Some(body)))
}
