//! `/apps/{app}/slugs`: take a finished `.slug` file, show one that is known.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::error::{ApiError, ApiResult};
use super::{apps, view};
use crate::build::{SlugWords, SourceId, import};
use crate::control::Control;
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::model::SlugId;

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/slugs", post(create))
        .route("/apps/{app}/slugs/{slug}", get(info))
}

/// What the uploader says about the slug, in the query.
#[derive(Default, Deserialize)]
struct Upload {
    commit: Option<String>,
    commit_description: Option<String>,
}

/// The body is the slug file itself, so that a slug built elsewhere can be released here.
async fn create(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    Query(upload): Query<Upload>,
    body: Body,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let words = [&upload.commit, &upload.commit_description];
    let too_long = |text: &&String| text.len() > DESCRIPTION_BYTES_MAX || text.contains('\0');
    if words.into_iter().flatten().any(|text| too_long(&text)) {
        let message =
            format!("commit and commit_description have at most {DESCRIPTION_BYTES_MAX} bytes.");
        return Err(ApiError::invalid(message));
    }
    let sources = control.builds.sources();
    let id = SourceId::generate();
    sources.receive(id, body).await?;
    let words = SlugWords {
        app: app.id,
        commit: upload.commit,
        commit_description: upload.commit_description,
        buildpack: None,
    };
    let imported = import(control.builds.slugs().clone(), sources.path(id), words).await;
    sources.remove(id);
    let slug = imported?;
    control.releases.add_slug(&slug).await?;
    Ok((StatusCode::CREATED, Json(view::slug(&slug))).into_response())
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, slug)): Path<(String, String)>,
) -> ApiResult {
    apps::find(&control, &app).await?;
    let id = SlugId::parse(&slug).ok_or_else(|| ApiError::no_such("slug"))?;
    let slug = control.releases.slug(id).await?;
    let slug = slug.ok_or_else(|| ApiError::no_such("slug"))?;
    Ok(Json(view::slug(&slug)).into_response())
}
