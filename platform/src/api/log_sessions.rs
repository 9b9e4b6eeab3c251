//! `/apps/{app}/log-sessions`, and the address where a session's lines are read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::apps;
use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::origin::Origin;
use crate::capability::{Purpose, issue, redeem};
use crate::control::Control;
use crate::limits::{
    LOG_LINES_MAX, LOG_TAILS_MAX, LOG_URL_LIFETIME, LOG_URL_RESUME_LIFETIME, STREAM_HEARTBEAT,
};
use crate::log::{AppLog, LogFilter, LogLine, LogTail, TailItem};
use crate::model::{AppId, Timestamp};

/// Heroku's number when the client names none.
const LINES_DEFAULT: usize = 100;

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new().route("/apps/{app}/log-sessions", post(create))
}

/// What needs no key: the address is the permission.
pub(super) fn open_routes() -> Router<Arc<Control>> {
    Router::new().route("/logs/{token}", get(read))
}

#[derive(Deserialize)]
struct Create {
    lines: Option<u64>,
    #[serde(default)]
    tail: Option<bool>,
    source: Option<String>,
    dyno: Option<String>,
    /// Newer name of `dyno`.
    dyno_name: Option<String>,
    /// Newer name for a whole process type.
    #[serde(rename = "type")]
    process_type: Option<String>,
}

/// What a session's address holds.
#[derive(Serialize, Deserialize)]
struct Session {
    app: AppId,
    lines: usize,
    tail: bool,
    filter: LogFilter,
    /// A session that is not opened soon after this is over; one that was may resume for longer.
    issued: i64,
}

async fn create(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    origin: Origin,
    JsonBody(body): JsonBody<Create>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let lines = body.lines.map_or(LINES_DEFAULT, |lines| {
        usize::try_from(lines).unwrap_or(LOG_LINES_MAX)
    });
    let dyno = body.dyno.or(body.dyno_name).or(body.process_type);
    if [&body.source, &dyno]
        .into_iter()
        .flatten()
        .any(|text| text.len() > 128)
    {
        return Err(ApiError::invalid("source and dyno have at most 128 bytes."));
    }
    let now = Timestamp::now();
    let session = Session {
        app: app.id,
        lines: lines.min(LOG_LINES_MAX),
        tail: body.tail.unwrap_or(false),
        filter: LogFilter {
            source: body.source,
            dyno,
        },
        issued: now.as_second(),
    };
    let token = issue(
        &control.sealer,
        Purpose::LogSession,
        &session,
        LOG_URL_RESUME_LIFETIME,
    )?;
    let view = json!({
        "created_at": now.to_string(),
        "id": Uuid::new_v4(),
        "logplex_url": format!("{}/logs/{token}", origin.0),
        "updated_at": now.to_string(),
    });
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

async fn read(
    State(control): State<Arc<Control>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let session: Session = redeem(&control.sealer, Purpose::LogSession, &token)
        .ok_or_else(|| ApiError::no_such("log_session"))?;
    let resume: Option<u64> = header_text(&headers, "last-event-id").and_then(|id| id.parse().ok());
    let age = Timestamp::now().as_second() - session.issued;
    if resume.is_none() && age > i64::try_from(LOG_URL_LIFETIME.as_secs()).unwrap_or(i64::MAX) {
        return Err(ApiError::no_such("log_session"));
    }
    // The app may be gone by now.
    let app = control.apps.read(session.app).await?.value;
    let log = control.logs.app(app.id, app.name.as_str());
    if session.tail && log.tails() >= LOG_TAILS_MAX {
        let message = format!("{LOG_TAILS_MAX} readers follow this app's log already.");
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_log_sessions",
            message,
        ));
    }
    let events =
        header_text(&headers, "accept").is_some_and(|accept| accept.contains("text/event-stream"));
    let format = if events {
        Format::Events
    } else {
        Format::Lines
    };
    Ok(respond(
        format,
        &log,
        &session,
        resume,
        control.shutdown.clone(),
    ))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[derive(Clone, Copy)]
enum Format {
    /// `id: N` and `data: LINE`, which the Heroku CLI reads.
    Events,
    /// One line after the other, for curl and our own CLI.
    Lines,
}

fn respond(
    format: Format,
    log: &Arc<AppLog>,
    session: &Session,
    resume: Option<u64>,
    shutdown: CancellationToken,
) -> Response {
    // What is shown now ends here; what follows begins here.
    let newest = log.newest_id();
    let admits = |line: &LogLine| {
        line.id <= newest && resume.is_none_or(|id| line.id > id) && session.filter.admits(line)
    };
    let lines_max = if resume.is_some() {
        usize::MAX
    } else {
        session.lines
    };
    let backlog = log.last(lines_max, admits);
    let mut first = String::new();
    for line in &backlog {
        write_line(format, &mut first, line);
    }
    if first.is_empty() && session.tail && matches!(format, Format::Events) {
        // Opens the stream at the client before the first line comes.
        first.push_str(":\n\n");
    }
    let follower = Follower {
        format,
        tail: session.tail.then(|| log.tail(newest)),
        filter: session.filter.clone(),
        pending: VecDeque::from([Bytes::from(first)]),
        shutdown,
    };
    let body = stream::unfold(follower, async |mut follower| {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    let content_type = match format {
        Format::Events => "text/event-stream",
        Format::Lines => "text/plain; charset=utf-8",
    };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(body)).into_response()
}

struct Follower {
    format: Format,
    tail: Option<LogTail>,
    filter: LogFilter,
    pending: VecDeque<Bytes>,
    shutdown: CancellationToken,
}

impl Follower {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.pending.pop_front().filter(|chunk| !chunk.is_empty()) {
                return Some(chunk);
            }
            let tail = self.tail.as_mut()?;
            let waited = tokio::select! {
                waited = timeout(STREAM_HEARTBEAT, tail.next()) => waited,
                () = self.shutdown.cancelled() => return None,
            };
            let mut text = String::new();
            match waited {
                Ok(None) => return None,
                Ok(Some(items)) => {
                    for item in items {
                        self.write_item(&mut text, item);
                    }
                }
                Err(_) => match self.format {
                    Format::Events => text.push_str(":\n\n"),
                    // Plain text has no comment that a reader would skip.
                    Format::Lines => {}
                },
            }
            self.pending.push_back(Bytes::from(text));
        }
    }

    fn write_item(&self, text: &mut String, item: TailItem) {
        match item {
            TailItem::Line(line) => {
                if self.filter.admits(&line) {
                    write_line(self.format, text, &line);
                }
            }
            TailItem::Missed(count) => {
                let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
                let words = format!(
                    "{now} heroku[logplex]: Error L11 (Tail buffer overflow): {count} messages dropped"
                );
                // Writing to a String cannot fail.
                let _ = match self.format {
                    Format::Events => write!(text, "data: {words}\n\n"),
                    Format::Lines => writeln!(text, "{words}"),
                };
            }
        }
    }
}

fn write_line(format: Format, text: &mut String, line: &LogLine) {
    let _ = match format {
        Format::Events => write!(text, "id: {}\ndata: {line}\n\n", line.id),
        Format::Lines => writeln!(text, "{line}"),
    };
}
