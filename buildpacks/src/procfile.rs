//! The Procfile: which process types an app declares.

use std::path::Path;

use dyno_slug::{PROCESS_TYPE_NAME_BYTES_MAX, ProcessTypeName};

use crate::limits;
use crate::source::{SourceError, read_text};

/// A parsed Procfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Procfile {
    /// Process types in file order.
    pub processes: Vec<DeclaredProcess>,
    /// Lines that declare nothing, numbered from 1, for a warning.
    pub unreadable_lines: Vec<usize>,
}

/// One line of a Procfile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeclaredProcess {
    /// The process type.
    pub name: ProcessTypeName,
    /// Its command, as written.
    pub command: String,
    /// The line, from 1.
    pub line: usize,
}

/// A Procfile that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcfileError {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A name is too long.
    #[error(
        "line {line} of the Procfile names a process type of {length} characters\n  hint: use at most {PROCESS_TYPE_NAME_BYTES_MAX}"
    )]
    LongName {
        /// Which line, from 1.
        line: usize,
        /// How long the name is.
        length: usize,
    },
    /// Too many process types.
    #[error("the Procfile declares more than {0} process types")]
    TooMany(usize),
}

impl Procfile {
    /// Reads the Procfile of an app; an empty one when the app has none.
    pub fn read(app: &Path) -> Result<Procfile, ProcfileError> {
        match read_text(&app.join("Procfile"))? {
            Some(text) => Procfile::parse(&text),
            None => Ok(Procfile::default()),
        }
    }

    /// Parses the text of a Procfile: lines `TYPE: COMMAND`; the last of two with one name counts.
    ///
    /// Source: Heroku Dev Center, "The Procfile".
    pub fn parse(text: &str) -> Result<Procfile, ProcfileError> {
        let mut procfile = Procfile::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let Some((name, command)) = declaration(line) else {
                procfile.unreadable_lines.push(index + 1);
                continue;
            };
            let name: ProcessTypeName = name.parse().map_err(|_| ProcfileError::LongName {
                line: index + 1,
                length: name.len(),
            })?;
            procfile.processes.retain(|earlier| earlier.name != name);
            if procfile.processes.len() >= limits::PROCESS_TYPES_MAX {
                return Err(ProcfileError::TooMany(limits::PROCESS_TYPES_MAX));
            }
            procfile.processes.push(DeclaredProcess {
                name,
                command: command.to_owned(),
                line: index + 1,
            });
        }
        Ok(procfile)
    }

    /// The command of a process type.
    pub fn command(&self, name: &str) -> Option<&str> {
        let found = self
            .processes
            .iter()
            .find(|process| process.name.as_str() == name);
        found.map(|process| process.command.as_str())
    }
}

/// `^([A-Za-z0-9_-]+):\s*(.+)$`.
fn declaration(line: &str) -> Option<(&str, &str)> {
    let (name, command) = line.split_once(':')?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let command = command.trim();
    (!name.is_empty() && name.bytes().all(allowed) && !command.is_empty())
        .then_some((name, command))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_windows_line_ends_are_read_as_heroku_reads_them() {
        let text = "# my app\r\nweb: gunicorn app:app --log-file -\r\n\nworker:python job.py\nnonsense\n: x\nempty:  \n";
        let procfile = Procfile::parse(text).unwrap();
        assert_eq!(
            procfile.command("web"),
            Some("gunicorn app:app --log-file -")
        );
        assert_eq!(procfile.command("worker"), Some("python job.py"));
        assert_eq!(procfile.processes.len(), 2);
        assert_eq!(procfile.unreadable_lines, [5, 6, 7]);
    }

    #[test]
    fn the_last_line_of_one_name_counts() {
        let procfile = Procfile::parse("web: a\nweb: b\n").unwrap();
        assert_eq!(procfile.processes.len(), 1);
        assert_eq!(procfile.command("web"), Some("b"));
    }

    #[test]
    fn a_name_over_the_limit_is_refused_with_its_line() {
        let text = format!("web: a\n{}: b\n", "x".repeat(31));
        let error = Procfile::parse(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2 of the Procfile names a process type of 31 characters\n  hint: use at most 30"
        );
    }

    #[test]
    fn one_process_type_over_the_limit_is_refused() {
        let lines = |count: usize| {
            let lines: Vec<_> = (0..count).map(|index| format!("p{index}: x")).collect();
            lines.join("\n")
        };
        assert!(Procfile::parse(&lines(limits::PROCESS_TYPES_MAX)).is_ok());
        assert!(Procfile::parse(&lines(limits::PROCESS_TYPES_MAX + 1)).is_err());
    }
}
