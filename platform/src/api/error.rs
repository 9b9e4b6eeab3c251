//! Errors in Heroku's shape: a status, a stable id, a sentence.

use std::error::Error;
use std::fmt::Write;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::build::{BuildError, RunError};
use crate::model::{AppNameError, ConfigVarsError, FormationError};
use crate::release::{AppError, ReleaseError};
use crate::secret::SecretError;
use crate::store::StoreError;

/// What a handler answers when it does not do what it was asked.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    id: &'static str,
    message: String,
    resource: Option<&'static str>,
}

pub(crate) type ApiResult = Result<Response, ApiError>;

impl ApiError {
    pub fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            id,
            message: message.into(),
            resource: None,
        }
    }

    /// 404 for a path that is none.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 404 for an object, with its kind.
    pub fn no_such(resource: &'static str) -> Self {
        let words = resource.replace('_', " ");
        Self {
            resource: Some(resource),
            ..Self::not_found(format!("Couldn't find that {words}."))
        }
    }

    /// 422: the request is well formed and asks for something that cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    /// 400: the request is not well formed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 500: our own failure; the causes go to our log, not to the client.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        let mut causes = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let _ = write!(causes, ": {cause}");
            source = cause.source();
        }
        tracing::error!("a request of the API failed: {error}{causes}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_server_error",
            error.to_string(),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "id": self.id, "message": self.message });
        if let Some(resource) = self.resource {
            body["resource"] = resource.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"dyno\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "The object was changed by another request; try again.",
            ),
            StoreError::DiskFull => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                error.to_string(),
            ),
            StoreError::TooLarge { .. } => Self::invalid(error.to_string()),
            error => Self::internal(&error),
        }
    }
}

impl From<AppError> for ApiError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::NotFound => Self::no_such("app"),
            AppError::Store(error) => error.into(),
            AppError::Formation(error) => error.into(),
            AppError::Busy => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            AppError::NameTaken(_) | AppError::TooMany => Self::invalid(error.to_string()),
        }
    }
}

impl From<ReleaseError> for ApiError {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::NoSuchApp => Self::no_such("app"),
            ReleaseError::NoSuchSlug => Self::no_such("slug"),
            ReleaseError::NoSuchRelease => Self::no_such("release"),
            ReleaseError::Store(error) => error.into(),
            ReleaseError::Secret(error) => error.into(),
            ReleaseError::Busy => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            ReleaseError::NotEligible(_)
            | ReleaseError::AlreadyCurrent(_)
            | ReleaseError::ConfigVars(_) => Self::invalid(error.to_string()),
        }
    }
}

impl From<FormationError> for ApiError {
    fn from(error: FormationError) -> Self {
        match error {
            FormationError::UnknownType { .. } => Self {
                resource: Some("formation"),
                ..Self::not_found(error.to_string())
            },
            FormationError::TooMany { .. } => Self::invalid(error.to_string()),
        }
    }
}

impl From<BuildError> for ApiError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) => error.into(),
            BuildError::QueueFull { .. } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_builds",
                error.to_string(),
            ),
            BuildError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                error.to_string(),
            ),
            BuildError::Source(message) => Self::invalid(message),
            BuildError::Io { .. } => Self::internal(&error),
        }
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Release(error) => error.into(),
            RunError::Store(error) => error.into(),
            RunError::Io(_) | RunError::Crashed(_) => Self::internal(&error),
            RunError::Slug(cause) => Self::invalid(format!("The slug was refused: {cause}")),
            RunError::Cancelled | RunError::Unpack(_) | RunError::Compile(_) => {
                Self::invalid(error.to_string())
            }
        }
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        Self::internal(&error)
    }
}

impl From<AppNameError> for ApiError {
    fn from(error: AppNameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ConfigVarsError> for ApiError {
    fn from(error: ConfigVarsError) -> Self {
        Self::invalid(error.to_string())
    }
}
