//! Where the lines of dynos go.

mod dyno_log;

pub(crate) use dyno_log::{DynoLog, Notices};

/// Takes the log lines of a dyno.
///
/// Called from guest threads and request tasks: an implementation must not block, and drops (and counts) what it
/// cannot take.
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn write(&self, line: LogLine);
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// The app's own output (`app[web.1]`).
    App,
    /// The platform, about the dyno (`heroku[web.1]`).
    Platform,
}

/// One line. Source and dyno are set by the host, never read from the guest's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub source: LogSource,
    /// The dyno's name: `web.1`.
    pub dyno: String,
    /// The text, without newline, at most 10,000 bytes.
    pub text: String,
}

/// Drops every line.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn write(&self, _line: LogLine) {}
}
