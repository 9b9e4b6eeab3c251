//! The prompt of `heroku run bash`: reads lines from a raw terminal and runs them in one session.

mod editor;

use std::future::Future;

use crate::error::ParseError;
use crate::host::{ExitStatus, Host, Output};
use crate::interpreter::{Flow, run_in_session};
use crate::limits::LINE_BYTES_MAX;
use crate::line::Line;
use crate::session::Session;
use editor::{Event, LineEditor};

/// A host with somebody in front of it.
pub trait Terminal: Host {
    /// The next bytes that were typed or sent, a few at a time; `None` once there will be no more.
    ///
    /// Only called while no program runs: what is typed then is the program's.
    fn read(&mut self) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A terminal that shows nothing by itself: what is typed is echoed and can be edited.
    Terminal,
    /// A file or a program: neither prompt nor echo. A byte 4 ends the input.
    Plain,
}

/// Whether the command asks for a prompt: `bash` or `sh`, as a login shell or interactive or not.
pub fn is_requested(line: &Line) -> bool {
    // Names of built-in commands are not simple, so the words are looked at as they are.
    let crate::syntax::Node::Command(command) = &line.node else {
        return false;
    };
    let words: Option<Vec<_>> = command
        .words
        .iter()
        .map(crate::word::Word::literal)
        .collect();
    let Some(words) = words else {
        return false;
    };
    let words = match words.as_slice() {
        [exec, rest @ ..] if exec == "exec" => rest,
        all => all,
    };
    let plain = command.assignments.is_empty() && command.redirections.is_empty();
    matches!(words, [name, options @ ..] if plain
        && matches!(name.rsplit('/').next(), Some("bash" | "sh"))
        && options.iter().all(|option| matches!(option.as_str(), "-i" | "-l" | "--login")))
}

/// Reads lines and runs them until `exit`, `exec`, ^D or the end of the input; gives the last status.
///
/// A line that is not complete, such as one with an open quote, is asked for more with `> `.
///
/// # Cancel safety
/// As for [`run`](crate::run). What was typed and not yet run is lost.
pub async fn prompt<T: Terminal>(
    session: &mut Session,
    terminal: &mut T,
    style: Style,
) -> ExitStatus {
    let mut editor = LineEditor::new(style);
    let mut pending = String::new();
    let mut output = Vec::new();
    editor.begin(&greeting(session), &mut output);
    loop {
        write(terminal, &mut output).await;
        let Some(bytes) = terminal.read().await else {
            return end(session, terminal, style, &pending).await;
        };
        for byte in bytes {
            let Some(event) = editor.feed(byte, &mut output) else {
                continue;
            };
            write(terminal, &mut output).await;
            match event {
                Event::Line(line) => {
                    pending.push_str(&line);
                    match execute(&mut pending, session, terminal).await {
                        Some(Flow::Exit(status)) => return status,
                        Some(Flow::Abort(status)) => session.status = status,
                        Some(Flow::Next) => {}
                        None if editor.has_ended() => {}
                        None => {
                            editor.begin("> ", &mut output);
                            continue;
                        }
                    }
                    if editor.has_ended() {
                        return end(session, terminal, style, &pending).await;
                    }
                }
                Event::Interrupt => {
                    pending.clear();
                    session.status = ExitStatus::from_signal(2);
                }
                Event::End => return end(session, terminal, style, &pending).await,
            }
            editor.begin(&greeting(session), &mut output);
        }
    }
}

/// Runs the line if it is complete; otherwise it waits for more.
async fn execute<T: Terminal>(
    pending: &mut String,
    session: &mut Session,
    terminal: &mut T,
) -> Option<Flow> {
    let parsed = Line::parse(pending);
    match &parsed {
        Err(error) if error.is_incomplete() && pending.len() < LINE_BYTES_MAX => {
            pending.push('\n');
            return None;
        }
        _ => pending.clear(),
    }
    Some(match parsed {
        Ok(line) if line.is_empty() => Flow::Next,
        Ok(line) => run_in_session(&line, session, terminal).await,
        Err(error) => refuse(&error, session, terminal).await,
    })
}

async fn refuse<T: Terminal>(error: &ParseError, session: &mut Session, terminal: &mut T) -> Flow {
    let message = format!("bash: {error}\n");
    terminal.write(Output::Errors, message.as_bytes()).await;
    session.status = ExitStatus::SYNTAX;
    Flow::Next
}

async fn end<T: Terminal>(
    session: &mut Session,
    terminal: &mut T,
    style: Style,
    pending: &str,
) -> ExitStatus {
    if let Err(error) = Line::parse(pending) {
        refuse(&error, session, terminal).await;
    }
    if style == Style::Terminal {
        terminal.write(Output::Standard, b"exit\n").await;
    }
    session.status
}

async fn write<T: Terminal>(terminal: &mut T, output: &mut Vec<u8>) {
    if !output.is_empty() {
        terminal.write(Output::Standard, output).await;
        output.clear();
    }
}

/// `~ $ `, as on Heroku: the working directory, with the home directory as `~`.
fn greeting(session: &Session) -> String {
    let directory = session.directory();
    let home = session.get("HOME").unwrap_or_default();
    let inside = directory
        .strip_prefix(home)
        .filter(|rest| !home.is_empty() && (rest.is_empty() || rest.starts_with('/')));
    match inside {
        Some(rest) => format!("~{rest} $ "),
        None => format!("{directory} $ "),
    }
}
