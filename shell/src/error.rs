//! Why a line was refused: what, where, and what to do instead.

use std::fmt;

use crate::construct::Construct;
use crate::limits::{COMMANDS_MAX, LINE_BYTES_MAX, OPENERS_MAX};

/// A place in a line, counted in characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, for commands that have several.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl Position {
    pub(crate) fn of(characters: &[char], index: usize) -> Self {
        let before = &characters[..index.min(characters.len())];
        let line_start = before
            .iter()
            .rposition(|character| *character == '\n')
            .map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before
                .iter()
                .filter(|character| **character == '\n')
                .count(),
            column: before.len() - line_start + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 1 {
            write!(formatter, "line {}, ", self.line)?;
        }
        write!(formatter, "column {}", self.column)
    }
}

/// Why a line was refused. Its exit status is [`ExitStatus::SYNTAX`](crate::ExitStatus::SYNTAX), bash's for what cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A construct of bash that is not understood here.
    #[error("{} at {at} is not understood: dynos have no shell, only a part of one\n  hint: {}", construct.name(), construct.hint())]
    Unsupported {
        /// Which one.
        construct: Construct,
        /// Where it begins.
        at: Position,
    },
    /// The line is not shell.
    #[error(
        "syntax error at {at}\n  hint: look for an operator without a command, or a bracket without its partner"
    )]
    Syntax {
        /// Where the grammar gave up.
        at: Position,
    },
    /// The line ends where a command or a closing word must follow. More text may complete it.
    #[error(
        "the line ends too early: a command or a closing word is missing\n  hint: look for a last && or ||, or a bracket that is not closed"
    )]
    Incomplete,
    /// A quote, a `${` or a last backslash is open at the end. More text may complete it.
    #[error(
        "{what} at {at} is not closed\n  hint: close it, or put a backslash before it if it is meant as it stands"
    )]
    Unclosed {
        /// What was opened.
        what: &'static str,
        /// Where.
        at: Position,
    },
    /// More than [`LINE_BYTES_MAX`].
    #[error(
        "the command has {bytes} bytes; at most {LINE_BYTES_MAX} are understood\n  hint: put it into a script of the app's language"
    )]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// More than [`COMMANDS_MAX`].
    #[error(
        "the line has more than {COMMANDS_MAX} commands\n  hint: put them into a script of the app's language"
    )]
    TooManyCommands,
    /// More than [`OPENERS_MAX`].
    #[error(
        "the line opens more than {OPENERS_MAX} groups and expansions\n  hint: put it into a script of the app's language"
    )]
    TooManyOpeners,
    /// A NUL, which no argument can hold.
    #[error("the command has a NUL byte at {at}\n  hint: pass binary data in a file")]
    Nul {
        /// Where.
        at: Position,
    },
}

impl ParseError {
    /// Whether more text could make the line whole: an interactive prompt asks for it.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Incomplete | Self::Unclosed { .. })
    }
}
