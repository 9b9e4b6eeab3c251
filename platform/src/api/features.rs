//! `/apps/{app}/features` and `/account/features`: what can be switched, and what is only shown as it is.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::apps;
use super::catalog::SINCE;
use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::page::{Fields, SortKey, page};
use crate::control::Control;
use crate::model::{App, RUNTIME_DYNO_METADATA};
use crate::release::AppChange;

/// A feature.
struct Feature {
    name: &'static str,
    description: &'static str,
    switch: Switch,
}

/// What can be done about it here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    AlwaysOn,
    AlwaysOff,
    /// As the app says.
    Movable,
}

/// Heroku's names. What is always so can be "enabled" by a script that does it everywhere, and not be disabled.
const APP_FEATURES: [Feature; 4] = [
    Feature {
        name: "http-session-affinity",
        description: "A client's requests go to one dyno. Not here: the dyno with the fewest requests is asked.",
        switch: Switch::AlwaysOff,
    },
    Feature {
        name: "log-runtime-metrics",
        description: "Load and memory of each dyno in the log. Not here.",
        switch: Switch::AlwaysOff,
    },
    Feature {
        name: "preboot",
        description: "New web dynos are up before the old ones stop. Always so here.",
        switch: Switch::AlwaysOn,
    },
    Feature {
        name: RUNTIME_DYNO_METADATA,
        description: "HEROKU_APP_NAME and its like in the environment of dynos, from their next start on.",
        switch: Switch::Movable,
    },
];

const FIELDS: &Fields<&'static Feature> = &[
    ("name", |feature| SortKey::Text(feature.name.to_owned())),
    ("id", |feature| SortKey::Text(id(feature).to_string())),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/features", get(list))
        .route("/apps/{app}/features/{feature}", get(info).patch(update))
        .route("/account/features", get(async || Json(json!([]))))
        .route(
            "/account/features/{feature}",
            get(async || ApiError::no_such("account_feature")),
        )
}

fn id(feature: &Feature) -> Uuid {
    let name = format!("app-feature/{}", feature.name);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn is_enabled(app: &App, feature: &Feature) -> bool {
    match feature.switch {
        Switch::AlwaysOn => true,
        Switch::AlwaysOff => false,
        Switch::Movable => app.features.contains(feature.name),
    }
}

fn view(app: &App, feature: &Feature) -> Value {
    json!({
        "created_at": SINCE,
        "description": feature.description,
        "display_name": null,
        "doc_url": "https://devcenter.heroku.com/articles/heroku-features",
        "enabled": is_enabled(app, feature),
        "feedback_email": null,
        "id": id(feature),
        "name": feature.name,
        "state": "general",
        "updated_at": SINCE,
    })
}

fn find(name: &str) -> Result<&'static Feature, ApiError> {
    static FEATURES: &[Feature] = &APP_FEATURES;
    FEATURES
        .iter()
        .find(|feature| feature.name == name || id(feature).to_string() == name)
        .ok_or_else(|| ApiError::no_such("app_feature"))
}

async fn list(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    static FEATURES: &[Feature] = &APP_FEATURES;
    let app = apps::find(&control, &app).await?;
    page(&headers, FIELDS, FEATURES.iter().collect(), |feature| {
        view(&app, feature)
    })
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, feature)): Path<(String, String)>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    Ok(Json(view(&app, find(&feature)?)).into_response())
}

#[derive(Deserialize)]
struct Update {
    enabled: bool,
}

async fn update(
    State(control): State<Arc<Control>>,
    Path((app, feature)): Path<(String, String)>,
    JsonBody(body): JsonBody<Update>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let feature = find(&feature)?;
    if feature.switch == Switch::Movable {
        let change = AppChange {
            feature: Some((feature.name.to_owned(), body.enabled)),
            ..AppChange::default()
        };
        let app = control.apps.change(app.id, &change).await?;
        return Ok(Json(view(&app, feature)).into_response());
    }
    if body.enabled != is_enabled(&app, feature) {
        return Err(ApiError::invalid(format!(
            "{} cannot be switched on this platform: {}",
            feature.name, feature.description
        )));
    }
    Ok(Json(view(&app, feature)).into_response())
}
