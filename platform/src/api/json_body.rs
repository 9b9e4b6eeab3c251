//! A bounded JSON request body, read whatever its `Content-Type` says.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::control::Control;
use crate::limits::API_BODY_BYTES_MAX;

/// The body; an empty one is `{}`, as clients send for "all defaults".
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Control>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _control: &Arc<Control>) -> Result<Self, ApiError> {
        let body = to_bytes(request.into_body(), API_BODY_BYTES_MAX).await.map_err(|_| {
            let message = format!("The request body could not be read, or has more than {API_BODY_BYTES_MAX} bytes.");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
        })?;
        let body = if body.trim_ascii().is_empty() {
            b"{}".as_slice()
        } else {
            &body
        };
        serde_json::from_slice(body)
            .map(JsonBody)
            .map_err(|error| match error.classify() {
                serde_json::error::Category::Data => ApiError::invalid(format!(
                    "The request body has a field that is not valid: {error}"
                )),
                _ => ApiError::bad_request("Unable to parse the JSON in the request body."),
            })
    }
}
