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
use crate::secret::ApiKey;

pub(super) async fn require_key(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> ApiResult {
    if !shows_key(request.headers(), &control.api_key) {
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

fn shows_key(headers: &HeaderMap, key: &ApiKey) -> bool {
    let Some(value) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let Some((scheme, credentials)) = value.trim().split_once(' ') else {
        return false;
    };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return key.matches(credentials);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Some(decoded) = STANDARD
        .decode(credentials)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return false;
    };
    let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
    // `https://KEY@host` arrives as the user, `https://x:KEY@host` as the password.
    key.matches(password) | key.matches(user)
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

    use super::{check_version, shows_key};
    use crate::secret::ApiKey;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().expect("a header value"))]
            .into_iter()
            .collect()
    }

    #[test]
    fn the_key_is_taken_from_every_slot_clients_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = ApiKey::open_or_create(&folder.path().join("api-key")).expect("a key");
        let shows = |value: &str| shows_key(&headers(header::AUTHORIZATION, value), &key);
        let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
        let text = key.reveal();
        assert!(shows(&format!("Bearer {text}")) && shows(&format!("bearer {text}")));
        assert!(shows(&basic(format!(":{text}"))) && shows(&basic(format!("any:{text}"))));
        assert!(shows(&basic(format!("{text}:"))));
        for wrong in ["", "Bearer", "Bearer x", "Basic !!!", "Digest x"] {
            assert!(!shows(wrong), "{wrong}");
        }
        assert!(!shows(&basic(":".to_owned())));
        assert!(!shows_key(&HeaderMap::new(), &key));
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
