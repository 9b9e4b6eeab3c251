//! `/apps`: create, list, info, update, delete.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::page::{Fields, SortKey, page};
use super::{account, view};
use crate::control::Control;
use crate::model::{App, AppName};
use crate::release::AppChange;

const FIELDS: &Fields<App> = &[
    ("name", |app| SortKey::Text(app.name.to_string())),
    ("id", |app| SortKey::Text(app.id.to_string())),
    ("updated_at", |app| {
        SortKey::Text(app.updated_at.to_string())
    }),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps", get(list).post(create))
        .route("/apps/{app}", get(info).patch(update).delete(destroy))
        .route("/users/{user}/apps", get(list_of_user))
        .route("/apps/{app}/collaborators", get(collaborators))
}

/// Finds the app a path names.
pub(super) async fn find(control: &Control, identity: &str) -> Result<App, ApiError> {
    Ok(control.apps.find(identity).await?.value)
}

#[derive(Deserialize)]
struct Create {
    name: Option<String>,
    region: Option<Value>,
    stack: Option<Value>,
}

async fn create(
    State(control): State<Arc<Control>>,
    JsonBody(body): JsonBody<Create>,
) -> ApiResult {
    check_choice(
        "region",
        body.region.as_ref(),
        &[view::REGION.0, view::REGION.1],
    )?;
    check_stack(body.stack.as_ref())?;
    let name = body
        .name
        .filter(|name| !name.is_empty())
        .map(AppName::new)
        .transpose()?;
    let app = control.apps.create(name).await?;
    control
        .logs
        .app(app.id, app.name.as_str())
        .api(&format!("App created by user {}", control.account.email));
    control.fleet.catch_up(app.id).await;
    Ok((StatusCode::CREATED, Json(view::app(&control, &app))).into_response())
}

/// Apps may name any stack of Heroku's; what they get is ours, so only a mistyped value is refused.
fn check_stack(stack: Option<&Value>) -> Result<(), ApiError> {
    check_choice(
        "stack",
        stack,
        &[
            view::STACK_ID,
            dyno_slug::STACK,
            "heroku-22",
            "heroku-24",
            "heroku-26",
        ],
    )
}

/// A reference is a name, an id, or an object with one of them.
fn check_choice(what: &str, value: Option<&Value>, choices: &[&str]) -> Result<(), ApiError> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let text = value
        .as_str()
        .or_else(|| value["name"].as_str())
        .or_else(|| value["id"].as_str());
    match text {
        Some(text) if choices.contains(&text) => Ok(()),
        _ => Err(ApiError::invalid(format!(
            "Couldn't find that {what}; there is: {}.",
            choices[1]
        ))),
    }
}

async fn list(State(control): State<Arc<Control>>, headers: HeaderMap) -> ApiResult {
    let apps = control.apps.list().await?;
    page(&headers, FIELDS, apps, |app| view::app(&control, app))
}

async fn list_of_user(
    State(control): State<Arc<Control>>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    if account::is_self(&control, &user) {
        list(State(control), headers).await
    } else {
        Err(ApiError::no_such("user"))
    }
}

async fn info(State(control): State<Arc<Control>>, Path(identity): Path<String>) -> ApiResult {
    let app = find(&control, &identity).await?;
    Ok(Json(view::app(&control, &app)).into_response())
}

#[derive(Deserialize)]
struct Update {
    name: Option<String>,
    maintenance: Option<bool>,
    build_stack: Option<Value>,
}

async fn update(
    State(control): State<Arc<Control>>,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<Update>,
) -> ApiResult {
    check_stack(body.build_stack.as_ref())?;
    let before = find(&control, &identity).await?;
    let name = body.name.map(AppName::new).transpose()?;
    let change = AppChange {
        name,
        maintenance: body.maintenance,
        ..AppChange::default()
    };
    let app = control.apps.change(before.id, &change).await?;
    let log = control.logs.app(app.id, app.name.as_str());
    let user = &control.account.email;
    if app.name != before.name {
        log.api(&format!("Renamed to {} by user {user}", app.name));
    }
    if app.maintenance != before.maintenance {
        let state = if app.maintenance { "on" } else { "off" };
        log.api(&format!("Maintenance mode {state} by user {user}"));
    }
    control.fleet.catch_up(app.id).await;
    Ok(Json(view::app(&control, &app)).into_response())
}

async fn destroy(State(control): State<Arc<Control>>, Path(identity): Path<String>) -> ApiResult {
    let app = find(&control, &identity).await?;
    control.builds.cancel_all(app.id);
    let app = control.apps.destroy(app.id).await?;
    control.fleet.stop_one_offs_of(app.id);
    control.fleet.catch_up(app.id).await;
    Ok(Json(view::app(&control, &app)).into_response())
}

async fn collaborators(
    State(control): State<Arc<Control>>,
    Path(identity): Path<String>,
) -> ApiResult {
    let app = find(&control, &identity).await?;
    let owner = json!([{
        "app": view::app_reference(&app),
        "created_at": app.created_at.to_string(),
        "id": control.account.id,
        "permissions": [],
        "role": "owner",
        "updated_at": app.created_at.to_string(),
        "user": control.account.reference(),
    }]);
    Ok(Json(owner).into_response())
}
