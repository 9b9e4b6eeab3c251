//! `/sources`: an address to upload an archive to, once, and one to build it from.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{post, put};
use axum::{Json, Router};
use serde_json::json;

use super::apps;
use super::error::{ApiError, ApiResult};
use super::origin::Origin;
use crate::build::SourceId;
use crate::capability::{Purpose, issue, redeem};
use crate::control::Control;
use crate::limits::SOURCE_URL_LIFETIME;

/// In front of the token in both addresses.
const PATH: &str = "/sources/blob/";

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/sources", post(create))
        .route("/apps/{app}/sources", post(create_of_app))
}

/// What needs no key: the address is the permission.
pub(super) fn open_routes() -> Router<Arc<Control>> {
    Router::new().route("/sources/blob/{token}", put(upload))
}

async fn create(State(control): State<Arc<Control>>, origin: Origin) -> ApiResult {
    let id = SourceId::generate();
    let url = |purpose| {
        let token = issue(&control.sealer, purpose, &id, SOURCE_URL_LIFETIME)?;
        Ok::<_, ApiError>(format!("{}{PATH}{token}", origin.0))
    };
    let view = json!({
        "source_blob": { "get_url": url(Purpose::SourceGet)?, "put_url": url(Purpose::SourcePut)? },
    });
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// The older form; the source belongs to no app either way.
async fn create_of_app(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    origin: Origin,
) -> ApiResult {
    apps::find(&control, &app).await?;
    create(State(control), origin).await
}

async fn upload(
    State(control): State<Arc<Control>>,
    Path(token): Path<String>,
    body: Body,
) -> ApiResult {
    let id: SourceId = redeem(&control.sealer, Purpose::SourcePut, &token)
        .ok_or_else(|| ApiError::no_such("source"))?;
    control.builds.sources().receive(id, body).await?;
    Ok(StatusCode::OK.into_response())
}

/// The upload that a `get_url` of ours names.
pub(super) fn of_url(control: &Control, url: &str) -> Option<SourceId> {
    // Only the token counts: a client may have reached us under another name than the one it now writes.
    let (_, token) = url.rsplit_once(PATH)?;
    redeem(&control.sealer, Purpose::SourceGet, token)
}
