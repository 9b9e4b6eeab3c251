//! `heroku login` with a browser: the CLI waits, a person shows the installation's key on a page, the CLI gets one of
//! its own.
//!
//! The address of the page is a secret between the CLI and its user, and so is what the CLI waits with; both are good for
//! ten minutes, and one key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use crate::control::Control;
use crate::limits::{
    BROWSER_LOGIN_LIFETIME, BROWSER_LOGINS_MAX, BROWSER_TOKEN_LIFETIME, DESCRIPTION_BYTES_MAX,
};

/// Bytes of the form that a browser sends: a key and its name.
const FORM_BYTES_MAX: usize = 1024;

pub(super) fn open_routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/auth", post(begin))
        .route("/auth/browser/{login}", get(page).post(grant))
        .route("/auth/cli/{login}", get(wait))
}

/// Logins that are under way.
#[derive(Default)]
pub(crate) struct BrowserLogins(Mutex<HashMap<Uuid, Login>>);

struct Login {
    description: String,
    begun: Instant,
    /// What the CLI has to show.
    secret: Uuid,
    granted: Option<oneshot::Sender<String>>,
    token: Option<oneshot::Receiver<String>>,
}

impl fmt::Debug for BrowserLogins {
    /// How many: what they are known by are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BrowserLogins")
            .field(&self.lock().len())
            .finish()
    }
}

impl BrowserLogins {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; `None` when too many are under way.
    fn begin(&self, description: String) -> Option<(Uuid, Uuid)> {
        let mut logins = self.lock();
        logins.retain(|_, login| login.begun.elapsed() < BROWSER_LOGIN_LIFETIME);
        if logins.len() >= BROWSER_LOGINS_MAX {
            return None;
        }
        let (id, secret) = (Uuid::new_v4(), Uuid::new_v4());
        let (granted, token) = oneshot::channel();
        let login = Login {
            description,
            begun: Instant::now(),
            secret,
            granted: Some(granted),
            token: Some(token),
        };
        logins.insert(id, login);
        Some((id, secret))
    }

    /// What a login is for, when it can be granted.
    fn description(&self, id: Uuid) -> Option<String> {
        let logins = self.lock();
        let login = logins.get(&id)?;
        let is_open = login.granted.is_some() && login.begun.elapsed() < BROWSER_LOGIN_LIFETIME;
        is_open.then(|| login.description.clone())
    }

    fn granted(&self, id: Uuid) -> Option<oneshot::Sender<String>> {
        self.lock().get_mut(&id)?.granted.take()
    }

    fn token(&self, id: Uuid, secret: &str) -> Option<oneshot::Receiver<String>> {
        let mut logins = self.lock();
        let login = logins.get_mut(&id)?;
        (login.secret.to_string() == secret)
            .then(|| login.token.take())
            .flatten()
    }

    fn end(&self, id: Uuid) {
        self.lock().remove(&id);
    }
}

#[derive(Deserialize)]
struct Begin {
    description: Option<String>,
}

async fn begin(State(control): State<Arc<Control>>, JsonBody(body): JsonBody<Begin>) -> ApiResult {
    let description = body.description.unwrap_or_default();
    if description.len() > DESCRIPTION_BYTES_MAX || description.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "description must be one line of at most {DESCRIPTION_BYTES_MAX} bytes."
        )));
    }
    let begun = control.browser_logins.begin(description);
    let (id, secret) = begun.ok_or_else(|| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_logins",
            "Too many logins are under way; try again in a few minutes.",
        )
    })?;
    let urls = json!({
        "browser_url": format!("/auth/browser/{id}"),
        "cli_url": format!("/auth/cli/{id}"),
        "token": secret,
    });
    Ok((StatusCode::CREATED, Json(urls)).into_response())
}

/// The page with the form, or what became of it.
fn html(status: StatusCode, words: &str) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ];
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Log in to dyno</title></head>\n<body>\n<h1>Log in to dyno</h1>\n{words}\n</body>\n</html>\n"
    );
    (status, headers, Html(page)).into_response()
}

fn form(description: &str) -> String {
    format!(
        "<p>{}</p>\n<form method=\"post\">\n<p><label>The key of this installation (the file <code>api-key</code> of its data directory)\n<input type=\"password\" name=\"key\" required autofocus></label></p>\n<p><button>Log in</button></p>\n</form>",
        escaped(description)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const OVER: &str = "<p>This login is over. Start again with <code>heroku login</code>.</p>";

async fn page(State(control): State<Arc<Control>>, Path(id): Path<Uuid>) -> Response {
    match control.browser_logins.description(id) {
        Some(description) => html(StatusCode::OK, &form(&description)),
        None => html(StatusCode::NOT_FOUND, OVER),
    }
}

async fn grant(
    State(control): State<Arc<Control>>,
    Path(id): Path<Uuid>,
    request: Request,
) -> ApiResult {
    let Some(description) = control.browser_logins.description(id) else {
        return Ok(html(StatusCode::NOT_FOUND, OVER));
    };
    let body = to_bytes(request.into_body(), FORM_BYTES_MAX)
        .await
        .unwrap_or_default();
    // A key has no character that a form would encode.
    let key = body.strip_prefix(b"key=").unwrap_or_default();
    let key = String::from_utf8_lossy(key);
    let key = key.trim();
    if !control.api_key.matches(key) && !control.authorizations.admit(key).await? {
        let words = format!("<p>This is not the key.</p>\n{}", form(&description));
        return Ok(html(StatusCode::FORBIDDEN, &words));
    }
    let Some(granted) = control.browser_logins.granted(id) else {
        return Ok(html(StatusCode::NOT_FOUND, OVER));
    };
    let lifetime = Some(BROWSER_TOKEN_LIFETIME);
    let (made, token) = control
        .authorizations
        .create(Some(description), lifetime)
        .await?;
    if granted.send(token).is_err() {
        // Nobody waits any more: a key that nobody has.
        control.authorizations.revoke(&made.id.to_string()).await?;
        return Ok(html(StatusCode::NOT_FOUND, OVER));
    }
    Ok(html(
        StatusCode::OK,
        "<p>Logged in. You can close this page and go back to your terminal.</p>",
    ))
}

/// The CLI's long poll.
async fn wait(
    State(control): State<Arc<Control>>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> ApiResult {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let token = control.browser_logins.token(id, shown);
    let token = token.ok_or_else(|| ApiError::no_such("login"))?;
    let token = tokio::select! {
        token = timeout(BROWSER_LOGIN_LIFETIME, token) => token.ok().and_then(Result::ok),
        () = control.shutdown.cancelled() => None,
    };
    control.browser_logins.end(id);
    Ok(match token {
        Some(token) => Json(json!({ "access_token": token })),
        None => Json(json!({ "error": "Nobody logged in within the time." })),
    }
    .into_response())
}

#[cfg(test)]
mod tests {
    use super::{BrowserLogins, form};
    use crate::limits::BROWSER_LOGINS_MAX;

    #[test]
    fn so_many_logins_are_under_way_and_not_one_more() {
        let logins = BrowserLogins::default();
        for _ in 0..BROWSER_LOGINS_MAX {
            logins.begin(String::new()).expect("begun");
        }
        assert!(logins.begin(String::new()).is_none());
    }

    #[test]
    fn a_login_is_waited_for_by_who_began_it_and_granted_once() {
        let logins = BrowserLogins::default();
        let (id, secret) = logins.begin("a laptop".to_owned()).expect("begun");
        assert!(!format!("{logins:?}").contains(&secret.to_string()));
        assert!(logins.token(id, "guess").is_none());
        assert!(logins.token(id, &secret.to_string()).is_some());
        assert!(logins.token(id, &secret.to_string()).is_none());
        assert_eq!(logins.description(id).as_deref(), Some("a laptop"));
        assert!(logins.granted(id).is_some() && logins.granted(id).is_none());
        assert!(logins.description(id).is_none());
    }

    #[test]
    fn what_a_client_says_is_no_html() {
        assert!(form("<script>").contains("&lt;script&gt;"));
    }
}
