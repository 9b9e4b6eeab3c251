//! One log line, and the only place that writes its source and process in front of its text.

use std::fmt;
use std::sync::Arc;

use crate::limits::LOG_LINE_BYTES_MAX;

/// Who speaks: the app's code, or the platform about the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// `app[…]`: what dynos print, and what users do through the API.
    App,
    /// `heroku[…]`: the router and the dyno manager.
    Heroku,
}

/// A line of an app's log. `Display` writes it as Heroku does: `2012-01-01T00:00:00.000000+00:00 app[web.1]: text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Grows by one per line of the app, and over restarts.
    pub id: u64,
    /// Microseconds since 1970.
    pub at_micros: i64,
    /// Who speaks.
    pub source: LogSource,
    /// `web.1`, `router`, `api`.
    pub process: Arc<str>,
    /// The text: one line, at most 10,000 bytes.
    pub text: String,
}

/// A line for the operator's console, with the app's name.
#[derive(Clone, Debug)]
pub struct ConsoleLine {
    /// The app's name when the line was written.
    pub app: Arc<str>,
    /// The line.
    pub line: Arc<LogLine>,
}

impl LogSource {
    /// The word in front of the bracket.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_microsecond(self.at_micros)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(
            f,
            "{:.6}+00:00 {}[{}]: {}",
            jiff::tz::Offset::UTC.to_datetime(time),
            self.source.as_str(),
            self.process,
            self.text
        )
    }
}

/// Cuts what somebody wrote into lines that cannot pretend to be several, or another's.
///
/// Line breaks of any kind end a line; lines over the limit are split at a character.
pub(super) fn split(text: &str) -> impl Iterator<Item = String> + '_ {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    // U+2028, U+2029 and U+0085 are line breaks to some readers; so are VT and FF.
    text.split(['\n', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
        .flat_map(|line| chunks(line.strip_suffix('\r').unwrap_or(line)))
        .map(|piece| piece.replace(['\r', '\0'], " "))
}

fn chunks(mut line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while line.len() > LOG_LINE_BYTES_MAX {
        let (piece, rest) = line.split_at(line.floor_char_boundary(LOG_LINE_BYTES_MAX));
        pieces.push(piece);
        line = rest;
    }
    pieces.push(line);
    pieces
}

#[cfg(test)]
mod tests {
    use super::{LogLine, LogSource, split};
    use crate::limits::LOG_LINE_BYTES_MAX;

    fn lines(text: &str) -> Vec<String> {
        split(text).collect()
    }

    #[test]
    fn a_line_is_written_in_herokus_format() {
        let line = LogLine {
            id: 1,
            at_micros: 1_325_376_000_000_001,
            source: LogSource::App,
            process: "web.1".into(),
            text: "hello".to_owned(),
        };
        assert_eq!(
            line.to_string(),
            "2012-01-01T00:00:00.000001+00:00 app[web.1]: hello"
        );
    }

    #[test]
    fn no_line_break_gets_into_a_line() {
        let forged = "x\n2012-01-01T00:00:00.000000+00:00 heroku[router]: at=info";
        assert_eq!(lines(forged).len(), 2);
        assert_eq!(lines("a\r\nb\rc\u{2028}d\n"), ["a", "b c", "d"]);
        assert_eq!(lines(""), [""]);
    }

    #[test]
    fn a_long_line_is_split_at_a_character() {
        let exact = "x".repeat(LOG_LINE_BYTES_MAX);
        assert_eq!(lines(&exact).len(), 1);
        let over = format!("{}é", "x".repeat(LOG_LINE_BYTES_MAX - 1));
        let pieces = lines(&over);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.concat(), over);
    }
}
