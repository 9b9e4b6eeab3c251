//! The key: Bearer, or Basic with the key in either slot, as the Heroku CLI, git and curl send it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{ApiError, ApiResult};
use crate::control::Control;

pub(super) async fn require_key(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> ApiResult {
    if !is_admitted(&control, request.headers()).await? {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Invalid credentials provided.",
        ));
    }
    check_version(request.headers())?;
    let response: Response = next.run(request).await;
    Ok(response)
}

/// Whether the request shows the installation's key, or one that was given away.
pub(super) async fn is_admitted(control: &Control, headers: &HeaderMap) -> Result<bool, ApiError> {
    let shown = shown_keys(headers);
    if shown.iter().any(|shown| control.api_key.matches(shown)) {
        return Ok(true);
    }
    for shown in &shown {
        if control.authorizations.admit(shown).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a request shows as its key, in every slot that clients use.
fn shown_keys(headers: &HeaderMap) -> Vec<String> {
    let Some(value) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    else {
        return Vec::new();
    };
    let Some((scheme, credentials)) = value.trim().split_once(' ') else {
        return Vec::new();
    };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return vec![credentials.to_owned()];
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Vec::new();
    }
    let Some(decoded) = STANDARD
        .decode(credentials)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return Vec::new();
    };
    let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
    // `https://KEY@host` arrives as the user, `https://x:KEY@host` as the password.
    vec![password.to_owned(), user.to_owned()]
}

/// Version 3 and its variants are served, and so is a client that names none.
fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let other = accept
        .split([';', ','])
        .filter_map(|part| part.trim().strip_prefix("version="))
        .find(|version| *version != "3" && !version.starts_with("3."));
    match other {
        Some(version) if accept.contains("vnd.heroku+json") => {
            let message = format!(
                "Version {} of the API is not served here; use version 3.",
                shorten(version)
            );
            Err(ApiError::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                message,
            ))
        }
        _ => Ok(()),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{check_version, shown_keys};

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().expect("a header value"))]
            .into_iter()
            .collect()
    }

    #[test]
    fn the_key_is_taken_from_every_slot_clients_use() {
        let text = "HRKU-1";
        let shows = |value: &str| {
            let shown = shown_keys(&headers(header::AUTHORIZATION, value));
            shown.iter().any(|shown| shown == text)
        };
        let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
        assert!(shows(&format!("Bearer {text}")) && shows(&format!("bearer {text}")));
        assert!(shows(&basic(format!(":{text}"))) && shows(&basic(format!("any:{text}"))));
        assert!(shows(&basic(format!("{text}:"))));
        for wrong in ["", "Bearer", "Bearer x", "Basic !!!", "Digest x"] {
            assert!(!shows(wrong), "{wrong}");
        }
        assert!(!shows(&basic(":".to_owned())));
        assert!(shown_keys(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn version_3_and_its_variants_are_accepted() {
        let check = |value: &str| check_version(&headers(header::ACCEPT, value)).is_ok();
        for good in [
            "*/*",
            "application/vnd.heroku+json; version=3",
            "application/vnd.heroku+json; version=3.sdk",
        ] {
            assert!(check(good), "{good}");
        }
        assert!(!check("application/vnd.heroku+json; version=2"));
        assert!(!check("application/vnd.heroku+json; version=30"));
    }
}
