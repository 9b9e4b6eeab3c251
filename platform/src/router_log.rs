//! The router's request log: each line into its app's log, as `heroku[router]`.

use std::sync::Arc;

use dyno_router::{RequestLog, RequestRecord};

use crate::log::{LogHub, LogSource};
use crate::model::AppId;

/// Hands the router's records to the log hub, which never waits.
#[derive(Debug)]
pub(crate) struct RouterLog {
    logs: Arc<LogHub>,
}

impl RouterLog {
    pub fn new(logs: Arc<LogHub>) -> Self {
        Self { logs }
    }
}

impl RequestLog for RouterLog {
    fn record(&self, record: RequestRecord) {
        // Routes carry the app's id. A request for no app belongs to nobody's log.
        if let Some(log) = record
            .app
            .as_deref()
            .and_then(AppId::parse)
            .and_then(|id| self.logs.find(id))
        {
            // The record escapes what a client wrote, so it is one line.
            log.write_line(LogSource::Heroku, "router", record.to_string());
        } else {
            tracing::debug!(target: "dyno_platform::router", "{record}");
        }
    }
}
