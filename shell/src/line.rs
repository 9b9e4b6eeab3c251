//! A line of shell that was understood.

use std::fmt;

use crate::builtins;
use crate::error::ParseError;
use crate::exit_code;
use crate::expansion::{expand, expand_whole};
use crate::session::Session;
use crate::syntax::{Command, Node, parse};
use crate::word::Word;

/// A line of shell that was understood: what a Procfile has after the colon, or what follows `heroku run`.
///
/// ```
/// use dyno_shell::Line;
///
/// let line = Line::parse("python manage.py migrate && gunicorn shop.wsgi --bind 0.0.0.0:$PORT")?;
/// assert_eq!(line.programs(), ["python", "gunicorn"]);
/// assert!(line.as_simple().is_none());
///
/// let error = Line::parse("rails db:dump | gzip").unwrap_err();
/// assert_eq!(error.to_string().lines().next(), Some(
///     "a pipe (|) at column 15 is not understood: dynos have no shell, only a part of one",
/// ));
/// # Ok::<(), dyno_shell::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    pub(crate) node: Node,
    wants_exit_code: bool,
}

/// One program with its arguments, and nothing that needs an interpreter.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Simple {
    /// Variables that only this program has: `NAME=value program`.
    pub assignments: Vec<(String, String)>,
    /// The program's name, then its arguments. Never empty.
    pub words: Vec<String>,
}

impl Line {
    /// Understands a line, or says why not.
    ///
    /// What `heroku run --exit-code` appends is taken off first: see [`exit_code`]. Takes time linear in the line's length,
    /// which is bounded.
    pub fn parse(line: &str) -> Result<Self, ParseError> {
        let requested = exit_code::requested(line);
        Ok(Self {
            node: parse(requested.unwrap_or(line))?,
            wants_exit_code: requested.is_some(),
        })
    }

    /// Whether there is nothing to run: white space and comments.
    pub fn is_empty(&self) -> bool {
        matches!(&self.node, Node::Sequence(nodes) if nodes.is_empty())
    }

    /// Whether the client waits for [the mark of the exit status](exit_code::mark). [`run`](crate::run) writes it.
    pub fn wants_exit_code(&self) -> bool {
        self.wants_exit_code
    }

    /// The programs that the line may run, where their names are written out: what can be looked for before anything runs.
    ///
    /// Built-in commands are no programs. `ls`, `cat` and the like, which a slug may have and need not have, are left out.
    pub fn programs(&self) -> Vec<String> {
        let mut programs = Vec::new();
        visit(&self.node, &mut |command| {
            programs.extend(
                program(&command.words)
                    .into_iter()
                    .filter(|name| !builtins::is_known(name)),
            );
        });
        programs
    }

    /// The line as one program with literal words, which needs no interpreter and no variables. A leading `exec` is taken off.
    ///
    /// ```
    /// use dyno_shell::Line;
    ///
    /// let simple = Line::parse("RAILS_ENV=test bundle exec 'rake db'")?.as_simple().unwrap();
    /// assert_eq!(simple.assignments, [("RAILS_ENV".to_owned(), "test".to_owned())]);
    /// assert_eq!(simple.words, ["bundle", "exec", "rake db"]);
    /// # Ok::<(), dyno_shell::ParseError>(())
    /// ```
    pub fn as_simple(&self) -> Option<Simple> {
        let command = self.only_program()?;
        let literal = |word: &Word| word.literal();
        Some(Simple {
            assignments: command
                .assignments
                .iter()
                .map(|assignment| Some((assignment.name.clone(), literal(&assignment.value)?)))
                .collect::<Option<_>>()?,
            words: command.words.iter().map(literal).collect::<Option<_>>()?,
        })
    }

    /// Like [`as_simple`](Self::as_simple), with the variables of a session in it, which stays as it is.
    ///
    /// ```
    /// use dyno_shell::{Line, Session};
    ///
    /// let session = Session::new([("PORT", "5000")], "/app");
    /// let simple = Line::parse("exec gunicorn -b :${PORT:-8000} $OPTIONS")?.to_simple(&session).unwrap();
    /// assert_eq!(simple.words, ["gunicorn", "-b", ":5000"]);
    /// # Ok::<(), dyno_shell::ParseError>(())
    /// ```
    pub fn to_simple(&self, session: &Session) -> Option<Simple> {
        let command = self.only_program()?;
        let mut session = session.clone();
        let words = expand(&command.words, &mut session).ok()?;
        // A name from a variable may be that of a built-in command.
        if words.first().is_none_or(|name| builtins::is_known(name)) {
            return None;
        }
        let mut assignments = Vec::new();
        for assignment in &command.assignments {
            let value = expand_whole(&assignment.value, &mut session).ok()?;
            session.set(&assignment.name, value.clone()).ok()?;
            assignments.push((assignment.name.clone(), value));
        }
        Some(Simple { assignments, words })
    }

    /// The command, when it is the only one and runs a program.
    fn only_program(&self) -> Option<Command> {
        let Node::Command(command) = &self.node else {
            return None;
        };
        let appends = command.assignments.iter().any(|known| known.append);
        if appends || !command.redirections.is_empty() {
            return None;
        }
        let mut command = command.clone();
        if command.words.first()?.bare() == Some("exec") {
            command.words.remove(0);
        }
        let name = command.words.first()?;
        if name.literal().is_some_and(|name| builtins::is_known(&name)) {
            return None;
        }
        Some(command)
    }
}

impl std::str::FromStr for Line {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, ParseError> {
        Self::parse(line)
    }
}

/// A line may have secrets in it: none of its text is shown.
impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Line")
            .field("programs", &self.programs())
            .finish_non_exhaustive()
    }
}

/// As for a line: only the program's name is shown.
impl fmt::Debug for Simple {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simple")
            .field("program", &self.words.first())
            .finish_non_exhaustive()
    }
}

fn visit(node: &Node, look: &mut impl FnMut(&Command)) {
    match node {
        Node::Sequence(nodes) => {
            for node in nodes {
                visit(node, look);
            }
        }
        Node::Chain { first, rest } => {
            visit(first, look);
            for (_, node) in rest {
                visit(node, look);
            }
        }
        Node::Not(body) | Node::Group { body, .. } | Node::Subshell { body, .. } => {
            visit(body, look);
        }
        Node::Command(command) => look(command),
    }
}

/// The name of the program that these words run, behind `exec` and `env`, if it is written out.
fn program(words: &[Word]) -> Option<String> {
    let mut words = words.iter().map(Word::literal);
    let mut name = words.next()??;
    if name == "exec" {
        name = words.next()??;
    }
    if name == "env" {
        // Options and assignments come first; after an option that takes a word nothing is certain.
        name = words.next()??;
        while name.contains('=') || name == "-i" {
            name = words.next()??;
        }
        if name.starts_with('-') {
            return None;
        }
    }
    Some(name)
}
