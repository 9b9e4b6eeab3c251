//! The output of a build or a release command: from its start, live to its end, resumable.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::stream;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{ApiError, ApiResult};
use crate::build::OutputReader;
use crate::capability::{Purpose, redeem};
use crate::control::Control;
use crate::model::BuildId;

/// What needs no key: the address is the permission.
pub(super) fn open_routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/output/build/{token}", get(of_build))
        .route("/output/release/{token}", get(of_release))
}

async fn of_build(
    State(control): State<Arc<Control>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let id: BuildId = permitted(&control, Purpose::BuildOutput, &token)?;
    respond(&control, id.as_uuid(), &headers).await
}

async fn of_release(
    State(control): State<Arc<Control>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let id: Uuid = permitted(&control, Purpose::ReleaseOutput, &token)?;
    respond(&control, id, &headers).await
}

fn permitted<T: DeserializeOwned>(
    control: &Control,
    purpose: Purpose,
    token: &str,
) -> Result<T, ApiError> {
    redeem(&control.sealer, purpose, token).ok_or_else(|| ApiError::no_such("output_stream"))
}

async fn respond(control: &Control, id: Uuid, headers: &HeaderMap) -> ApiResult {
    let start = start(headers)?;
    let reader = control
        .outputs
        .read(id, start)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ApiError::no_such("output_stream"),
            _ => ApiError::internal(&error),
        })?;
    let shutdown = control.shutdown.clone();
    let body = stream::unfold(
        (reader, shutdown),
        async |(mut reader, shutdown): (OutputReader, _)| {
            let chunk = tokio::select! {
                chunk = reader.next() => chunk?,
                () = shutdown.cancelled() => return None,
            };
            Some((chunk, (reader, shutdown)))
        },
    );
    let status = if start > 0 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let answer = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    Ok((status, answer, Body::from_stream(body)).into_response())
}

/// `Range: bytes=N-`: where to resume.
fn start(headers: &HeaderMap) -> Result<u64, ApiError> {
    let Some(range) = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
    else {
        return Ok(0);
    };
    let number = range
        .trim()
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-'));
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| {
            let message = "Only ranges of the form bytes=N- are served here.";
            ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "requested_range_not_satisfiable",
                message,
            )
        })
}
