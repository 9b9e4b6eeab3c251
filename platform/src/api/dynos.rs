//! `/apps/{app}/dynos`: list, restart, stop, run a one-off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use dyno_runtime::ClientKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::origin::Origin;
use super::page::{Fields, SortKey, page};
use super::{apps, view};
use crate::attach::Attached;
use crate::control::Control;
use crate::limits::{COMMAND_BYTES_MAX, CONFIG_VARS_MAX, ONE_OFF_LIFETIME_MAX};
use crate::model::DynoSizeName;
use crate::reconcile::{DynoStatus, OneOff, OneOffError, Selection, take_status_report};

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
    // `run` is a type of dynos, and none of the formation.
    if dynos.iter().any(|dyno| dyno.process_type == identity) {
        return Ok(Selection::Type(identity.to_owned()));
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
    #[serde(default)]
    force_no_tty: Option<bool>,
    time_to_live: Option<u64>,
}

impl Create {
    fn size(&self) -> Result<DynoSizeName, ApiError> {
        match &self.size {
            None => Ok(DynoSizeName::Basic),
            Some(name) => DynoSizeName::parse(name).ok_or_else(|| {
                ApiError::invalid(format!("Couldn't find that dyno size ({name})."))
            }),
        }
    }

    fn time_to_live(&self) -> Result<Duration, ApiError> {
        let wanted = self.time_to_live.map(Duration::from_secs);
        match wanted.unwrap_or(ONE_OFF_LIFETIME_MAX) {
            wanted if wanted.is_zero() || wanted > ONE_OFF_LIFETIME_MAX => {
                Err(ApiError::invalid(format!(
                    "time_to_live is 1 to {} seconds.",
                    ONE_OFF_LIFETIME_MAX.as_secs()
                )))
            }
            wanted => Ok(wanted),
        }
    }

    /// The CLI says the size of its terminal, and only when it has one.
    fn client(&self) -> ClientKind {
        if self.env.contains_key("COLUMNS") && self.force_no_tty != Some(true) {
            ClientKind::Terminal
        } else {
            ClientKind::Pipe
        }
    }
}

async fn create(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    origin: Origin,
    JsonBody(body): JsonBody<Create>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    if body.command.trim().is_empty() || body.command.len() > COMMAND_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "command must have 1 to {COMMAND_BYTES_MAX} bytes."
        )));
    }
    let (size, time_to_live, client) = (body.size()?, body.time_to_live()?, body.client());
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
    let (command, reports_status) = take_status_report(&body.command);
    let one_off = OneOff {
        command: command.to_owned(),
        environment: environment.collect(),
        size,
        process_type: body.process_type.unwrap_or_else(|| "run".to_owned()),
        time_to_live,
    };
    let attached = Attached {
        client,
        reports_status,
    };
    let (token, awaited) = match body.attach {
        Some(true) => {
            let (token, client) = control.sessions.await_client().map_err(|error| {
                ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_sessions",
                    error.to_string(),
                )
            })?;
            (Some(token), Some((client, attached)))
        }
        _ => (None, None),
    };
    let log = control.logs.app(app.id, app.name.as_str());
    log.api(&format!(
        "Starting process with command `{}` by user {}",
        one_off.command, control.account.email
    ));
    let dyno = control
        .fleet
        .run_one_off(&app, one_off, awaited)
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
    let mut view = view::dyno(&app, &dyno);
    if let Some(token) = token {
        let host = origin.host_and_port(control.port);
        view["attach_url"] = format!("rendezvous://{host}/{token}").into();
    }
    Ok((StatusCode::CREATED, Json(view)).into_response())
}
