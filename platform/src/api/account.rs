//! `/account`, `/users/~`, and what belongs to an account.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::error::{ApiError, ApiResult};
use super::view;
use crate::control::Control;

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/account", get(info))
        .route("/users/{user}", get(user))
        .route("/account/rate-limits", get(rate_limits))
}

async fn info(State(control): State<Arc<Control>>) -> ApiResult {
    Ok(Json(view::account(&control.account)).into_response())
}

async fn user(State(control): State<Arc<Control>>, Path(user): Path<String>) -> ApiResult {
    if is_self(&control, &user) {
        info(State(control)).await
    } else {
        Err(ApiError::no_such("user"))
    }
}

async fn rate_limits(State(control): State<Arc<Control>>) -> ApiResult {
    Ok(Json(json!({ "remaining": control.rate_limit.remaining() })).into_response())
}

/// `~`, the account's id, or its address.
pub(super) fn is_self(control: &Control, user: &str) -> bool {
    user == "~" || user == control.account.email || user == control.account.id.to_string()
}
