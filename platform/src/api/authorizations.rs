//! `/oauth/authorizations` and `/oauth/sessions`: keys that are made, shown in part, and revoked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::page::{Fields, SortKey, page};
use crate::account::{Authorization, AuthorizationError};
use crate::control::Control;

const FIELDS: &Fields<Authorization> = &[
    ("id", |authorization| {
        SortKey::Text(authorization.id.to_string())
    }),
    ("created_at", |authorization| {
        SortKey::Text(authorization.created_at.to_string())
    }),
];

/// The only scope there is: an installation has one account, and a key may do what that may.
const SCOPE: &str = "global";

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/oauth/authorizations", get(list).post(create))
        .route(
            "/oauth/authorizations/{authorization}",
            get(info).patch(update).delete(revoke),
        )
        .route(
            "/oauth/authorizations/{authorization}/actions/regenerate-tokens",
            post(rotate),
        )
        .route("/oauth/sessions", get(async || Json(json!([]))))
        .route("/oauth/sessions/{session}", delete(no_session))
}

fn view(control: &Control, authorization: &Authorization, token: &str) -> Value {
    json!({
        "access_token": {
            "expires_in": authorization.expires_in(),
            "id": authorization.id,
            "token": token,
        },
        "client": null,
        "created_at": authorization.created_at.to_string(),
        "description": authorization.description,
        "grant": null,
        "id": authorization.id,
        "refresh_token": null,
        "scope": [SCOPE],
        "session": null,
        "updated_at": authorization.updated_at.to_string(),
        "user": control.account.reference(),
    })
}

fn redacted(control: &Control, authorization: &Authorization) -> Value {
    view(control, authorization, &authorization.redacted_token())
}

#[derive(Deserialize)]
struct Create {
    description: Option<String>,
    /// Seconds; the CLI sends them as text.
    expires_in: Option<Value>,
    scope: Option<Vec<String>>,
}

impl Create {
    fn lifetime(&self) -> Result<Option<Duration>, ApiError> {
        let Some(value) = self.expires_in.as_ref().filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let seconds = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let seconds = seconds.filter(|seconds| *seconds > 0);
        let seconds =
            seconds.ok_or_else(|| ApiError::invalid("expires_in is a number of seconds."))?;
        Ok(Some(Duration::from_secs(seconds)))
    }
}

async fn create(
    State(control): State<Arc<Control>>,
    JsonBody(body): JsonBody<Create>,
) -> ApiResult {
    let lifetime = body.lifetime()?;
    let scopes = body.scope.unwrap_or_default();
    if let Some(other) = scopes.iter().find(|scope| *scope != SCOPE) {
        let shown: String = other.chars().take(64).collect();
        return Err(ApiError::invalid(format!(
            "Couldn't find that scope ({shown}); there is: {SCOPE}."
        )));
    }
    let (made, token) = control
        .authorizations
        .create(body.description, lifetime)
        .await?;
    Ok((StatusCode::CREATED, Json(view(&control, &made, &token))).into_response())
}

async fn list(State(control): State<Arc<Control>>, headers: HeaderMap) -> ApiResult {
    let all = control.authorizations.list().await?;
    page(&headers, FIELDS, all, |authorization| {
        redacted(&control, authorization)
    })
}

async fn info(State(control): State<Arc<Control>>, Path(id): Path<String>) -> ApiResult {
    let found = control.authorizations.find(&id).await?;
    Ok(Json(redacted(&control, &found)).into_response())
}

#[derive(Deserialize)]
struct Update {
    description: Option<String>,
}

async fn update(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<Update>,
) -> ApiResult {
    let changed = match body.description {
        Some(description) => control.authorizations.describe(&id, description).await?,
        None => control.authorizations.find(&id).await?,
    };
    Ok(Json(redacted(&control, &changed)).into_response())
}

async fn rotate(State(control): State<Arc<Control>>, Path(id): Path<String>) -> ApiResult {
    let (rotated, token) = control.authorizations.rotate(&id).await?;
    Ok(Json(view(&control, &rotated, &token)).into_response())
}

async fn revoke(State(control): State<Arc<Control>>, Path(id): Path<String>) -> ApiResult {
    let revoked = control.authorizations.revoke(&id).await?;
    Ok(Json(redacted(&control, &revoked)).into_response())
}

/// Sessions are a browser's; there is none here. The CLI asks for its own when it logs out, and takes this answer.
async fn no_session() -> ApiError {
    ApiError::no_such("session")
}

impl From<AuthorizationError> for ApiError {
    fn from(error: AuthorizationError) -> Self {
        match error {
            AuthorizationError::NotFound => Self::no_such("authorization"),
            AuthorizationError::Store(error) => error.into(),
            AuthorizationError::TooMany | AuthorizationError::Description => {
                Self::invalid(error.to_string())
            }
        }
    }
}
