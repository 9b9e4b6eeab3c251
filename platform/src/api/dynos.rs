//! `/apps/{app}/dynos`: list, restart, stop, run a one-off.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::page::{Fields, SortKey, page};
use super::{apps, view};
use crate::control::Control;
use crate::limits::{COMMAND_BYTES_MAX, CONFIG_VARS_MAX};
use crate::model::DynoSizeName;
use crate::reconcile::{DynoStatus, OneOff, OneOffError, Selection};

const FIELDS: &Fields<DynoStatus> = &[
    ("name", |dyno| SortKey::Text(dyno.name.clone())),
    ("id", |dyno| SortKey::Text(dyno.id.to_string())),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route(
            "/apps/{app}/dynos",
            get(list).post(create).delete(restart_all),
        )
        .route("/apps/{app}/dynos/{dyno}", get(info).delete(restart))
        .route("/apps/{app}/dynos/{dyno}/actions/stop", post(stop))
        .route("/apps/{app}/formations/{formation}", delete(restart))
        .route(
            "/apps/{app}/formations/{formation}/actions/stop",
            post(stop),
        )
}

async fn list(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    page(&headers, FIELDS, control.fleet.dynos(app.id), |dyno| {
        view::dyno(&app, dyno)
    })
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, identity)): Path<(String, String)>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let dynos = control.fleet.dynos(app.id);
    let dyno = dynos
        .iter()
        .find(|dyno| dyno.name == identity || dyno.id.to_string() == identity)
        .ok_or_else(|| ApiError::no_such("dyno"))?;
    Ok(Json(view::dyno(&app, dyno)).into_response())
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({}))).into_response()
}

async fn restart_all(State(control): State<Arc<Control>>, Path(app): Path<String>) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    control.fleet.restart(app.id, &Selection::All);
    Ok(accepted())
}

/// A dyno by name or uuid, or a process type: the CLI's old form sends a type here.
async fn restart(
    State(control): State<Arc<Control>>,
    Path((app, identity)): Path<(String, String)>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let selection = select(&control, &app, &identity).await?;
    control.fleet.restart(app.id, &selection);
    Ok(accepted())
}

async fn stop(
    State(control): State<Arc<Control>>,
    Path((app, identity)): Path<(String, String)>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let selection = select(&control, &app, &identity).await?;
    control.fleet.stop(app.id, &selection);
    Ok(accepted())
}

async fn select(
    control: &Control,
    app: &crate::model::App,
    identity: &str,
) -> Result<Selection, ApiError> {
    let dynos = control.fleet.dynos(app.id);
    if let Some(dyno) = dynos
        .iter()
        .find(|dyno| dyno.name == identity || dyno.id.to_string() == identity)
    {
        return Ok(Selection::Dyno(dyno.name.clone()));
    }
    let formation = control.apps.formation(app.id).await?;
    match formation.0.get_key_value(identity) {
        Some((process_type, _)) => Ok(Selection::Type(process_type.clone())),
        None => Err(ApiError::no_such("dyno")),
    }
}

#[derive(Deserialize)]
struct Create {
    command: String,
    #[serde(default)]
    attach: Option<bool>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    size: Option<String>,
    #[serde(rename = "type")]
    process_type: Option<String>,
}

async fn create(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    JsonBody(body): JsonBody<Create>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    if body.attach == Some(true) {
        return Err(ApiError::invalid(
            "Attached one-off dynos are not served yet; use run:detached and logs.",
        ));
    }
    if body.command.trim().is_empty() || body.command.len() > COMMAND_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "command must have 1 to {COMMAND_BYTES_MAX} bytes."
        )));
    }
    let size = match &body.size {
        None => DynoSizeName::Basic,
        Some(name) => DynoSizeName::parse(name)
            .ok_or_else(|| ApiError::invalid(format!("Couldn't find that dyno size ({name}).")))?,
    };
    if body.env.len() > CONFIG_VARS_MAX {
        return Err(ApiError::invalid(format!(
            "env has more than {CONFIG_VARS_MAX} variables."
        )));
    }
    // COLUMNS and LINES come as numbers.
    let environment = body
        .env
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Null => None,
            other => Some((name, other.to_string())),
        });
    let one_off = OneOff {
        command: body.command,
        environment: environment.collect(),
        size,
        process_type: body.process_type.unwrap_or_else(|| "run".to_owned()),
    };
    let log = control.logs.app(app.id, app.name.as_str());
    log.api(&format!(
        "Starting process with command `{}` by user {}",
        one_off.command, control.account.email
    ));
    let dyno = control
        .fleet
        .run_one_off(&app, one_off)
        .await
        .map_err(|error| match error {
            OneOffError::Release(error) => error.into(),
            OneOffError::TooMany => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_dynos",
                error.to_string(),
            ),
            other => ApiError::invalid(other.to_string()),
        })?;
    Ok((StatusCode::CREATED, Json(view::dyno(&app, &dyno))).into_response())
}
