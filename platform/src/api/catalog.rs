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
pub(super) const SINCE: &str = "2026-11-25T00:00:00Z";

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
            get(
                async |State(control): State<Arc<Control>>, headers: HeaderMap| {
                    list(&headers, dyno_sizes(&control))
                },
            ),
        )
        .route(
            "/dyno-sizes/{size}",
            get(
                async |State(control): State<Arc<Control>>, Path(name): Path<String>| {
                    find("dyno_size", dyno_sizes(&control), &name)
                },
            ),
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
    list(&headers, dyno_sizes(&control))
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

fn dyno_sizes(control: &Control) -> Vec<Value> {
    let view = |name: DynoSizeName| {
        let size = control.sizes.get(name.as_str()).unwrap_or_default();
        // Megabytes are exact in a float, whatever the size.
        let megabytes = u32::try_from(size.memory_bytes_max >> 20).unwrap_or(u32::MAX);
        json!({
            "architecture": "wasm32",
            "compute": size.cpu_share,
            "cost": { "cents": 0, "unit": "month" },
            "dedicated": false,
            "generation": { "name": "cedar" },
            "id": view::dyno_size_id(name).to_string(),
            "memory": f64::from(megabytes) / 1024.0,
            "name": name.as_str(),
            "precise_dyno_units": 0,
            "private_space_only": name.is_private(),
        })
    };
    DynoSizeName::ALL.into_iter().map(view).collect()
}
