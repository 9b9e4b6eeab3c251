//! `/apps/{app}/config-vars`: read all, change some; a change is a release before it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::apps;
use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use crate::control::Control;
use crate::model::ConfigPatch;
use crate::release::Change;

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/config-vars", get(info).patch(update))
        .route(
            "/apps/{app}/releases/{release}/config-vars",
            get(of_release),
        )
}

async fn info(State(control): State<Arc<Control>>, Path(app): Path<String>) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let vars = control.releases.current_config_vars(&app).await?;
    Ok(Json(vars).into_response())
}

async fn of_release(
    State(control): State<Arc<Control>>,
    Path((app, release)): Path<(String, String)>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let release = control
        .releases
        .find(app.id, &release)
        .await?
        .ok_or_else(|| ApiError::no_such("release"))?;
    Ok(Json(control.releases.config_vars(app.id, release.config).await?).into_response())
}

async fn update(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    JsonBody(body): JsonBody<BTreeMap<String, Value>>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let patch = ConfigPatch(
        body.into_iter()
            .map(|(name, value)| match value {
                Value::Null => Ok((name, None)),
                Value::String(value) => Ok((name, Some(value))),
                _ => Err(ApiError::invalid(format!(
                    "Config var {name} must be a string, or null to remove it."
                ))),
            })
            .collect::<Result<_, _>>()?,
    );
    if let Some(release) = control
        .releases
        .make(app.id, &Change::ConfigVars(patch))
        .await?
    {
        control.announce(&app, &release).await;
    }
    // Read again: the app row that was found is older than the release.
    let app = control.apps.read(app.id).await?.value;
    Ok(Json(control.releases.current_config_vars(&app).await?).into_response())
}
