//! `/apps/{app}/domains`: the one name that an app has.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::{ApiError, ApiResult};
use super::page::{Fields, SortKey, page};
use super::{apps, view};
use crate::control::Control;
use crate::model::App;

const FIELDS: &Fields<Value> = &[
    ("hostname", |domain| {
        SortKey::Text(domain["hostname"].to_string())
    }),
    ("id", |domain| SortKey::Text(domain["id"].to_string())),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/domains", get(list).post(refuse))
        .route("/apps/{app}/domains/{domain}", get(info))
}

/// The app's name below `localhost`.
fn own(app: &App) -> Value {
    let hostname = format!("{}.localhost", app.name);
    json!({
        "acm_status": null,
        "acm_status_reason": null,
        "app": view::app_reference(app),
        "cname": null,
        "created_at": app.created_at.to_string(),
        "hostname": hostname,
        "id": Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{}/{hostname}", app.id).as_bytes()),
        "kind": "heroku",
        "sni_endpoint": null,
        "status": "none",
        "updated_at": app.updated_at.to_string(),
    })
}

async fn list(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    page(&headers, FIELDS, vec![own(&app)], Value::clone)
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, domain)): Path<(String, String)>,
) -> ApiResult {
    let own = own(&apps::find(&control, &app).await?);
    if own["hostname"] == domain || own["id"] == domain {
        Ok(Json(own).into_response())
    } else {
        Err(ApiError::no_such("domain"))
    }
}

async fn refuse(State(control): State<Arc<Control>>, Path(app): Path<String>) -> ApiResult {
    apps::find(&control, &app).await?;
    Err(ApiError::invalid(
        "Custom domains are not served yet; an app has its name below localhost.",
    ))
}
