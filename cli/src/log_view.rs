//! Log lines for people: a colour per process, as foreman shows them.

use std::collections::HashMap;

use console::{Color, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::say;

const COLORS: [Color; 6] = [
    Color::Cyan,
    Color::Yellow,
    Color::Green,
    Color::Magenta,
    Color::Blue,
    Color::Red,
];
/// Processes with a colour of their own; more share them, so that names which come and go cost nothing.
const PROCESSES_MAX: usize = 256;

/// How a line is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As Heroku writes it: `2026-08-01T12:00:00.123456+00:00 app[web.1]: text`.
    Heroku,
    /// As foreman does: `12:00:00 web.1   | text`, in local time.
    Foreman,
}

/// Prints lines, giving each process the next colour when it first speaks.
pub struct LogView {
    layout: Layout,
    colors: HashMap<String, usize>,
    width: usize,
    zone: TimeZone,
}

/// `time source[process]: text`
struct Parts<'a> {
    time: &'a str,
    source: &'a str,
    process: &'a str,
    text: &'a str,
}

impl LogView {
    pub fn new(layout: Layout) -> LogView {
        LogView {
            layout,
            colors: HashMap::new(),
            width: 8,
            zone: TimeZone::system(),
        }
    }

    /// Prints a line in Heroku's format.
    pub fn print(&mut self, line: &str) {
        // A file or a pipe gets the bytes as they are, a terminal only what cannot take it over.
        if !say::is_terminal() && self.layout == Layout::Heroku {
            return say::line(line);
        }
        say::line(self.shown(line));
    }

    fn shown(&mut self, line: &str) -> String {
        let safe = say::terminal_safe(line).into_owned();
        let Some(parts) = parts(&safe) else {
            return safe;
        };
        let style = self.style(parts.process);
        match self.layout {
            Layout::Heroku => {
                let head = format!("{} {}[{}]:", parts.time, parts.source, parts.process);
                format!("{} {}", style.apply_to(head), parts.text)
            }
            Layout::Foreman => {
                self.width = self.width.max(parts.process.len());
                let head = format!(
                    "{} {:<width$} |",
                    self.clock(parts.time),
                    parts.process,
                    width = self.width
                );
                format!("{} {}", style.apply_to(head), parts.text)
            }
        }
    }

    fn style(&mut self, process: &str) -> Style {
        let next = self.colors.len();
        let number = match self.colors.get(process) {
            Some(number) => *number,
            None if next < PROCESSES_MAX => {
                self.colors.insert(process.to_owned(), next);
                next
            }
            None => next,
        };
        Style::new().fg(COLORS[number % COLORS.len()])
    }

    fn clock(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(time) => time
                .to_zoned_datetime(self.zone.clone())
                .strftime("%H:%M:%S")
                .to_string(),
            Err(_) => time.to_owned(),
        }
    }
}

fn parts(line: &str) -> Option<Parts<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let (source, rest) = rest.split_once('[')?;
    let (process, text) = rest.split_once("]:")?;
    Some(Parts {
        time,
        source,
        process,
        text: text.strip_prefix(' ').unwrap_or(text),
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{Layout, LogView};

    #[test]
    fn a_line_is_laid_out_with_aligned_processes() {
        let mut view = LogView::new(Layout::Foreman);
        view.zone = TimeZone::UTC;
        let shown = view.shown("2026-08-01T12:00:00.123456+00:00 app[web.1]: [x]: hello");
        assert_eq!(
            console::strip_ansi_codes(&shown),
            "12:00:00 web.1    | [x]: hello"
        );
    }

    #[test]
    fn a_line_of_no_known_form_is_shown_as_it_is() {
        let mut view = LogView::new(Layout::Heroku);
        assert_eq!(view.shown("hello"), "hello");
        let shown = view.shown("2026-08-01T12:00:00.1+00:00 heroku[router]: at=info \u{1b}[2J");
        assert!(shown.ends_with("at=info \\u{1b}[2J"), "{shown}");
    }
}
