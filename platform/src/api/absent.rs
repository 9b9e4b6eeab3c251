//! What is not here yet and clients ask for in passing: empty lists, and refusals that say what to use instead.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::apps;
use super::error::{ApiError, ApiResult};
use crate::control::Control;

/// Lists of the account.
const EMPTY: [&str; 9] = [
    "/addon-attachments",
    "/addon-services",
    "/addons",
    "/account/keys",
    "/enterprise-accounts",
    "/oauth/clients",
    "/pipelines",
    "/spaces",
    "/teams",
];

/// Lists of an app.
const EMPTY_OF_APP: [&str; 6] = [
    "/apps/{app}/addon-attachments",
    "/apps/{app}/addons",
    "/apps/{app}/log-drains",
    "/apps/{app}/sni-endpoints",
    "/apps/{app}/telemetry-drains",
    "/apps/{app}/webhooks",
];

pub(super) fn routes() -> Router<Arc<Control>> {
    let mut routes = Router::new();
    for path in EMPTY {
        routes = routes.route(path, get(async || Json(json!([]))).post(not_yet));
    }
    for path in EMPTY_OF_APP {
        routes = routes.route(path, get(nothing).post(not_yet));
    }
    routes
        .route("/apps/{app}/pipeline-couplings", get(no_coupling))
        .route("/apps/{app}/dynos/{dyno}", post(run_inside))
}

/// The app exists and has none of what was asked for.
async fn nothing(State(control): State<Arc<Control>>, Path(identity): Path<String>) -> ApiResult {
    apps::find(&control, &identity).await?;
    Ok(Json(json!([])).into_response())
}

async fn not_yet() -> ApiError {
    ApiError::invalid("This is not served yet; COMPAT.md says what is.")
}

async fn no_coupling(
    State(control): State<Arc<Control>>,
    Path(identity): Path<String>,
) -> ApiResult {
    apps::find(&control, &identity).await?;
    Err(ApiError::no_such("pipeline_coupling"))
}

/// `heroku run:inside`: a dyno is instances that share nothing, so there is no inside to run in.
async fn run_inside(
    State(control): State<Arc<Control>>,
    Path((app, _)): Path<(String, String)>,
) -> ApiResult {
    apps::find(&control, &app).await?;
    Err(ApiError::invalid(
        "A command cannot be run inside of another dyno here; heroku run gives it a dyno of its own, with the same release.",
    ))
}
