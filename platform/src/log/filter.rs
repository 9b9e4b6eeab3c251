//! Which lines a reader wants: Heroku's `source` and `dyno`.

use serde::{Deserialize, Serialize};

use super::line::LogLine;
#[cfg(test)]
use super::line::LogSource;

/// A reader's choice. Empty means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogFilter {
    /// `app` or `heroku`.
    pub source: Option<String>,
    /// `web.1`, or `web` for all of a type, or `router`.
    pub dyno: Option<String>,
}

impl LogFilter {
    pub fn admits(&self, line: &LogLine) -> bool {
        let source_fits = match self.source.as_deref() {
            None => true,
            Some(wanted) => wanted == line.source.as_str(),
        };
        let dyno_fits = match self.dyno.as_deref() {
            None => true,
            Some(wanted) => {
                *line.process == *wanted
                    || line
                        .process
                        .strip_prefix(wanted)
                        .is_some_and(|rest| rest.starts_with('.'))
            }
        };
        // `heroku logs --source app` shows what the app prints and what users do; both are `app[…]`.
        source_fits && dyno_fits
    }

    /// The source as the hub knows it, for tests of a filter's meaning.
    #[cfg(test)]
    fn of(source: Option<LogSource>, dyno: Option<&str>) -> Self {
        Self {
            source: source.map(|source| source.as_str().to_owned()),
            dyno: dyno.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogFilter;
    use crate::log::{LogLine, LogSource};

    #[test]
    fn a_bare_type_matches_its_dynos_and_no_other() {
        let line = |process: &str| LogLine {
            id: 1,
            at_micros: 0,
            source: LogSource::App,
            process: process.into(),
            text: String::new(),
        };
        let web = LogFilter::of(None, Some("web"));
        assert!(web.admits(&line("web.1")) && web.admits(&line("web.12")));
        assert!(!web.admits(&line("webhook.1")) && !web.admits(&line("worker.1")));
        let one = LogFilter::of(None, Some("web.1"));
        assert!(one.admits(&line("web.1")) && !one.admits(&line("web.12")));
        assert!(!LogFilter::of(Some(LogSource::Heroku), None).admits(&line("web.1")));
    }
}
