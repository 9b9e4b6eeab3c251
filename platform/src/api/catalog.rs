//! The short fixed lists: regions, stacks, dyno sizes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::page::{Fields, SortKey, page};
use super::{apps, view};
use crate::control::Control;
use crate::model::DynoSizeName;

/// When this program's first stack and region were laid down.
const SINCE: &str = "2026-11-25T00:00:00Z";

const FIELDS: &Fields<Value> = &[
    ("name", |item| {
        SortKey::Text(item["name"].as_str().unwrap_or("").to_owned())
    }),
    ("id", |item| {
        SortKey::Text(item["id"].as_str().unwrap_or("").to_owned())
    }),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route(
            "/regions",
            get(async |headers: HeaderMap| list(&headers, regions())),
        )
        .route(
            "/regions/{region}",
            get(async |Path(name): Path<String>| find("region", regions(), &name)),
        )
        .route(
            "/stacks",
            get(async |headers: HeaderMap| list(&headers, stacks())),
        )
        .route(
            "/stacks/{stack}",
            get(async |Path(name): Path<String>| find("stack", stacks(), &name)),
        )
        .route(
            "/dyno-sizes",
            get(async |headers: HeaderMap| list(&headers, dyno_sizes())),
        )
        .route(
            "/dyno-sizes/{size}",
            get(async |Path(name): Path<String>| find("dyno_size", dyno_sizes(), &name)),
        )
        .route("/apps/{app}/available-stacks", get(available_stacks))
        .route(
            "/apps/{app}/available-dyno-sizes",
            get(available_dyno_sizes),
        )
}

fn list(headers: &HeaderMap, items: Vec<Value>) -> ApiResult {
    page(headers, FIELDS, items, Value::clone)
}

fn find(resource: &'static str, items: Vec<Value>, identity: &str) -> ApiResult {
    let fits = |item: &Value| {
        item["id"] == identity
            || item["name"]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case(identity))
    };
    let item = items
        .into_iter()
        .find(fits)
        .ok_or_else(|| ApiError::no_such(resource))?;
    Ok(Json(item).into_response())
}

async fn available_stacks(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    apps::find(&control, &app).await?;
    list(&headers, stacks())
}

async fn available_dyno_sizes(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    apps::find(&control, &app).await?;
    list(&headers, dyno_sizes())
}

fn regions() -> Vec<Value> {
    vec![json!({
        "country": "United States",
        "created_at": SINCE,
        "description": "This host",
        "id": view::REGION.0,
        "locale": "Localhost",
        "name": view::REGION.1,
        "private_capable": false,
        "provider": { "name": "dyno", "region": "localhost" },
        "updated_at": SINCE,
    })]
}

fn stacks() -> Vec<Value> {
    vec![json!({
        "created_at": SINCE,
        "default": true,
        "id": view::STACK_ID,
        "name": dyno_slug::STACK,
        "state": "public",
        "updated_at": SINCE,
    })]
}

fn dyno_sizes() -> Vec<Value> {
    let view = |size: DynoSizeName| {
        json!({
            "architecture": "wasm32",
            "compute": size.compute(),
            "cost": { "cents": 0, "unit": "month" },
            "dedicated": false,
            "generation": { "name": "cedar" },
            "id": view::dyno_size_id(size).to_string(),
            "memory": f64::from(size.memory_mib()) / 1024.0,
            "name": size.as_str(),
            "precise_dyno_units": 0,
            "private_space_only": false,
        })
    };
    DynoSizeName::ALL.into_iter().map(view).collect()
}
