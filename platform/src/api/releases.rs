//! `/apps/{app}/releases`: list, info, create from a slug, roll back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::origin::Origin;
use super::page::{Fields, SortKey, page};
use super::{apps, view};
use crate::control::Control;
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::model::{Release, SlugId};
use crate::release::{Change, Deploy, SlugSource};

const FIELDS: &Fields<Release> = &[
    ("version", |release| {
        SortKey::Number(release.version.number())
    }),
    ("id", |release| SortKey::Text(release.id.to_string())),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/releases", get(list).post(create))
        .route("/apps/{app}/releases/{release}", get(info))
}

async fn list(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let mut releases = control.releases.list(app.id).await?;
    // A release that was made after the app was read would show no current one: leave it for the next request.
    releases.retain(|release| Some(release.version) <= app.release_latest);
    let shown: Result<BTreeMap<_, _>, _> = releases
        .iter()
        .map(|release| Ok((release.id, view::release(&control, &app, release, &origin)?)))
        .collect::<Result<_, ApiError>>();
    let shown = shown?;
    page(&headers, FIELDS, releases, |release| {
        shown.get(&release.id).cloned().unwrap_or_default()
    })
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, release)): Path<(String, String)>,
    origin: Origin,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let release = control
        .releases
        .find(app.id, &release)
        .await?
        .ok_or_else(|| ApiError::no_such("release"))?;
    Ok(Json(view::release(&control, &app, &release, &origin)?).into_response())
}

#[derive(Deserialize)]
struct Create {
    /// Roll back to this release: uuid or number.
    release: Option<String>,
    /// Release this slug, of any app.
    slug: Option<String>,
    description: Option<String>,
}

async fn create(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    origin: Origin,
    JsonBody(body): JsonBody<Create>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let change = match (&body.release, &body.slug) {
        (Some(release), None) => {
            let target = control
                .releases
                .find(app.id, release)
                .await?
                .ok_or_else(|| ApiError::no_such("release"))?;
            Change::Rollback(target.version)
        }
        (None, Some(slug)) => deploy_of(&control, slug, body.description).await?,
        _ => {
            return Err(ApiError::invalid(
                "A release is made of one slug, or of one release to roll back to.",
            ));
        }
    };
    let Some(release) = control.releases.make(app.id, &change).await? else {
        return Err(ApiError::invalid("The release would change nothing."));
    };
    control.announce(&app, &release).await;
    let app = control.apps.read(app.id).await?.value;
    let view = view::release(&control, &app, &release, &origin)?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

async fn deploy_of(
    control: &Control,
    slug: &str,
    description: Option<String>,
) -> Result<Change, ApiError> {
    let id = SlugId::parse(slug).ok_or_else(|| ApiError::no_such("slug"))?;
    let slug = control
        .releases
        .slug(id)
        .await?
        .ok_or_else(|| ApiError::no_such("slug"))?;
    let description = description
        .unwrap_or_else(|| crate::build::deploy_words(slug.commit.as_deref(), &slug.digest));
    if description.len() > DESCRIPTION_BYTES_MAX || description.chars().any(char::is_control) {
        let message =
            format!("description must be one line of at most {DESCRIPTION_BYTES_MAX} bytes");
        return Err(ApiError::invalid(message));
    }
    Ok(Change::Deploy(Box::new(Deploy {
        slug: SlugSource::Known(id),
        description,
        default_config_vars: BTreeMap::new(),
        build: None,
        cache: None,
        buildpack: slug.buildpack_description,
    })))
}
