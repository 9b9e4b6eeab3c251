//! `/apps/{app}/features` and `/account/features`: what can be switched elsewhere, as it is here.

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

/// A feature, and the one state that it has here.
struct Feature {
    name: &'static str,
    description: &'static str,
    enabled: bool,
}

/// Heroku's names. What is always so can be "enabled" by a script that does it everywhere, and not be disabled.
const APP_FEATURES: [Feature; 4] = [
    Feature {
        name: "http-session-affinity",
        description: "A client's requests go to one dyno. Not here: the dyno with the fewest requests is asked.",
        enabled: false,
    },
    Feature {
        name: "log-runtime-metrics",
        description: "Load and memory of each dyno in the log. Not here.",
        enabled: false,
    },
    Feature {
        name: "preboot",
        description: "New web dynos are up before the old ones stop. Always so here.",
        enabled: true,
    },
    Feature {
        name: "runtime-dyno-metadata",
        description: "HEROKU_APP_NAME and its like in the environment of dynos. Not here.",
        enabled: false,
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

fn view(feature: &Feature) -> Value {
    json!({
        "created_at": SINCE,
        "description": feature.description,
        "display_name": null,
        "doc_url": "https://devcenter.heroku.com/articles/heroku-features",
        "enabled": feature.enabled,
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
    apps::find(&control, &app).await?;
    page(&headers, FIELDS, FEATURES.iter().collect(), |feature| {
        view(feature)
    })
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, feature)): Path<(String, String)>,
) -> ApiResult {
    apps::find(&control, &app).await?;
    Ok(Json(view(find(&feature)?)).into_response())
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
    apps::find(&control, &app).await?;
    let feature = find(&feature)?;
    if body.enabled != feature.enabled {
        return Err(ApiError::invalid(format!(
            "{} cannot be switched on this platform: {}",
            feature.name, feature.description
        )));
    }
    Ok(Json(view(feature)).into_response())
}
