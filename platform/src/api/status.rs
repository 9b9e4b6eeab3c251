//! `/api/v4/current-status`: what `heroku status` shows of this platform. It shows no key.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::control::Control;

pub(super) fn open_routes() -> Router<Arc<Control>> {
    // Whoever can answer is well.
    let answer = async || {
        let systems = ["Apps", "Data", "Tools"];
        Json(json!({
            "incidents": [],
            "scheduled": [],
            "status": systems.map(|system| json!({ "status": "green", "system": system })),
        }))
    };
    Router::new().route("/api/v4/current-status", get(answer))
}
