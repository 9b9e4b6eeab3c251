//! Runs a line, command by command.

use std::future::Future;
use std::pin::Pin;

use crate::builtins;
use crate::error::ParseError;
use crate::exit_code;
use crate::expansion::{ExpandError, expand, expand_whole};
use crate::host::{ExitStatus, Host, Output, Program, RunError, Streams};
use crate::limits::SHELLS_MAX;
use crate::line::Line;
use crate::path::resolve;
use crate::session::Session;
use crate::syntax::{Assignment, Command, Connector, Node, Redirection};

/// Runs a line to its end, and gives the status it ends with.
///
/// ```
/// # use dyno_shell::*;
/// # struct Dyno(Vec<u8>);
/// # impl Host for Dyno {
/// #     async fn run(&mut self, program: Program) -> Result<ExitStatus, RunError> {
/// #         if program.words[0] == "python" { Ok(ExitStatus(3)) } else { Err(RunError::NotFound) }
/// #     }
/// #     async fn write(&mut self, _: Output, bytes: &[u8]) { self.0.extend_from_slice(bytes); }
/// #     async fn kind(&mut self, _: &str) -> Option<FileKind> { None }
/// #     async fn list(&mut self, _: &str, _: usize) -> Result<Vec<Entry>, FileError> { Err(FileError::NotFound) }
/// #     async fn copy(&mut self, _: &str, _: Output) -> Result<(), FileError> { Err(FileError::NotFound) }
/// # }
/// # futures::executor::block_on(async {
/// let mut host = Dyno(Vec::new()); // has one program, `python`, which ends with 3
/// let mut session = Session::new([("GREETING", "hello")], "/app");
///
/// let line = Line::parse("echo $GREETING; python -V || nodejs || echo $?")?;
/// assert_eq!(run(&line, &mut session, &mut host).await, ExitStatus::SUCCESS);
/// assert_eq!(String::from_utf8_lossy(&host.0), "hello\nbash: nodejs: command not found\n127\n");
/// # Ok::<(), ParseError>(()) }).unwrap();
/// ```
///
/// # Cancel safety
/// The future may be dropped at any point. What the host was running ends as [`Host`] says; the session is as after the last
/// finished command, and can be used on.
pub async fn run<H: Host>(line: &Line, session: &mut Session, host: &mut H) -> ExitStatus {
    let status = match run_in_session(line, session, host).await {
        Flow::Next => session.status,
        Flow::Exit(status) | Flow::Abort(status) => status,
    };
    session.status = status;
    if line.wants_exit_code() {
        let mark = exit_code::mark(status);
        host.write(Output::Standard, mark.as_bytes()).await;
    }
    status
}

/// Runs a line that the prompt read, and tells whether it ended the session.
pub(crate) async fn run_in_session<H: Host>(
    line: &Line,
    session: &mut Session,
    host: &mut H,
) -> Flow {
    let mut interpreter = Interpreter {
        host,
        shells: 0,
        subshells: 0,
    };
    interpreter
        .node(&line.node, session, Streams::standard())
        .await
}

/// What happens after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next one.
    Next,
    /// The session's end: `exit`, or `exec` of a program.
    Exit(ExitStatus),
    /// The line's end: an error after which bash does not go on either, though a prompt does.
    Abort(ExitStatus),
}

/// Which words may name a command, and how it is told that one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Line,
    Exec,
    Env,
}

pub(crate) struct Interpreter<'a, H> {
    pub host: &'a mut H,
    /// How many `bash -c` are around.
    pub shells: usize,
    /// How many `( )` are around.
    pub subshells: usize,
}

impl<H: Host> Interpreter<'_, H> {
    fn node<'b>(
        &'b mut self,
        node: &'b Node,
        session: &'b mut Session,
        streams: Streams,
    ) -> Pin<Box<dyn Future<Output = Flow> + Send + 'b>> {
        Box::pin(async move {
            match node {
                Node::Sequence(nodes) => {
                    for node in nodes {
                        let flow = self.node(node, session, streams).await;
                        if flow != Flow::Next {
                            return flow;
                        }
                    }
                    Flow::Next
                }
                Node::Chain { first, rest } => {
                    let mut flow = self.node(first, session, streams).await;
                    for (connector, node) in rest {
                        if flow != Flow::Next {
                            break;
                        }
                        if (*connector == Connector::And) == session.status.is_success() {
                            flow = self.node(node, session, streams).await;
                        }
                    }
                    flow
                }
                Node::Not(body) => {
                    let flow = self.node(body, session, streams).await;
                    if flow == Flow::Next {
                        session.status = ExitStatus(u8::from(session.status.is_success()));
                    }
                    flow
                }
                Node::Group { body, redirections } => {
                    let streams = Redirection::apply(redirections, streams);
                    self.node(body, session, streams).await
                }
                Node::Subshell { body, redirections } => {
                    let streams = Redirection::apply(redirections, streams);
                    let mut inner = session.clone();
                    self.subshells += 1;
                    let flow = self.node(body, &mut inner, streams).await;
                    self.subshells -= 1;
                    session.status = match flow {
                        Flow::Next => inner.status,
                        Flow::Exit(status) | Flow::Abort(status) => status,
                    };
                    Flow::Next
                }
                Node::Command(command) => self.command(command, session, streams).await,
            }
        })
    }

    async fn command(
        &mut self,
        command: &Command,
        session: &mut Session,
        streams: Streams,
    ) -> Flow {
        let streams = Redirection::apply(&command.redirections, streams);
        let words = match expand(&command.words, session) {
            Ok(words) => words,
            Err(error) => return self.expand_error(&error, streams).await,
        };
        if words.is_empty() {
            // Assignments without a command stay.
            return match assign(&command.assignments, session) {
                Ok(()) => {
                    session.status = ExitStatus::SUCCESS;
                    Flow::Next
                }
                Err(error) => self.expand_error(&error, streams).await,
            };
        }
        if command.assignments.is_empty() {
            return self.invoke(words, session, streams, Caller::Line).await;
        }
        // Those before a command are for it alone; what else a built-in command changes stays.
        let mut inner = session.clone();
        if let Err(error) = assign(&command.assignments, &mut inner) {
            return self.expand_error(&error, streams).await;
        }
        // `A=1 export` does not list it.
        if words[0] != "export" {
            for assignment in &command.assignments {
                inner.export(&assignment.name);
            }
        }
        let flow = self.invoke(words, &mut inner, streams, Caller::Line).await;
        for assignment in &command.assignments {
            inner.restore(&assignment.name, session);
        }
        *session = inner;
        flow
    }

    /// Runs a built-in command or a program.
    pub(crate) fn invoke<'b>(
        &'b mut self,
        words: Vec<String>,
        session: &'b mut Session,
        streams: Streams,
        caller: Caller,
    ) -> Pin<Box<dyn Future<Output = Flow> + Send + 'b>> {
        Box::pin(async move {
            let name = words.first().cloned().unwrap_or_default();
            if caller == Caller::Line && builtins::comes_first(&name) {
                return self.builtin(&words, session, streams).await;
            }
            let program = Program {
                words: words.clone(),
                environment: session.environment(),
                directory: session.directory.clone(),
                streams,
            };
            let error = match self.host.run(program).await {
                Ok(status) => {
                    session.status = status;
                    return Flow::Next;
                }
                // What Unix has as small programs is here where the slug has none.
                Err(RunError::NotFound) if builtins::stands_in(&name) => {
                    return self.builtin(&words, session, streams).await;
                }
                Err(error) => error,
            };
            let (status, reason) = match &error {
                RunError::NotFound => (ExitStatus::NOT_FOUND, not_found(&name, caller)),
                RunError::NotExecutable => (ExitStatus::NOT_EXECUTABLE, "Permission denied"),
                RunError::IsDirectory if caller == Caller::Env => {
                    (ExitStatus::NOT_EXECUTABLE, "Permission denied")
                }
                RunError::IsDirectory => (ExitStatus::NOT_EXECUTABLE, "Is a directory"),
                RunError::Failed(reason) => (ExitStatus::NOT_EXECUTABLE, reason.as_str()),
            };
            let message = match caller {
                Caller::Line => format!("bash: {name}: {reason}\n"),
                Caller::Exec if name.contains('/') => {
                    let path = resolve(&session.directory, &name);
                    format!("bash: {path}: {reason}\n")
                }
                Caller::Exec => format!("bash: exec: {name}: {reason}\n"),
                Caller::Env => format!("env: ‘{name}’: {reason}\n"),
            };
            self.write(streams.errors, message.as_bytes()).await;
            session.status = status;
            match caller {
                Caller::Exec => Flow::Abort(status),
                Caller::Line | Caller::Env => Flow::Next,
            }
        })
    }

    /// `bash -c LINE`, `sh -c LINE`: a session of its own that begins with what is exported.
    pub(crate) async fn shell(
        &mut self,
        name: &str,
        line: &str,
        session: &mut Session,
        streams: Streams,
    ) {
        let parsed = match Line::parse(line) {
            Ok(_) if self.shells >= SHELLS_MAX => {
                let message = format!("{name}: more than {SHELLS_MAX} shells in each other\n");
                self.write(streams.errors, message.as_bytes()).await;
                session.status = ExitStatus::FAILURE;
                return;
            }
            Ok(parsed) => parsed,
            Err(error) => {
                session.status = self.parse_error(&error, streams).await;
                return;
            }
        };
        let subshells = std::mem::take(&mut self.subshells);
        self.shells += 1;
        let mut inner = session.child();
        let flow = self.node(&parsed.node, &mut inner, streams).await;
        self.shells -= 1;
        self.subshells = subshells;
        session.status = match flow {
            Flow::Next => inner.status,
            Flow::Exit(status) | Flow::Abort(status) => status,
        };
    }

    pub(crate) async fn parse_error(&mut self, error: &ParseError, streams: Streams) -> ExitStatus {
        let message = format!("bash: {error}\n");
        self.write(streams.errors, message.as_bytes()).await;
        ExitStatus::SYNTAX
    }

    async fn expand_error(&mut self, error: &ExpandError, streams: Streams) -> Flow {
        self.write(streams.errors, format!("bash: {error}\n").as_bytes())
            .await;
        Flow::Abort(match error {
            ExpandError::Unset { .. } if self.subshells == 0 => ExitStatus::NOT_FOUND,
            ExpandError::Unset { .. } | ExpandError::TooLarge | ExpandError::Variable { .. } => {
                ExitStatus::FAILURE
            }
        })
    }

    pub(crate) async fn write(&mut self, output: Output, bytes: &[u8]) {
        if output != Output::Null && !bytes.is_empty() {
            self.host.write(output, bytes).await;
        }
    }
}

fn not_found(name: &str, caller: Caller) -> &'static str {
    match caller {
        Caller::Line if !name.contains('/') => "command not found",
        Caller::Exec if !name.contains('/') => "not found",
        _ => "No such file or directory",
    }
}

fn assign(assignments: &[Assignment], session: &mut Session) -> Result<(), ExpandError> {
    for Assignment {
        name,
        append,
        value,
    } in assignments
    {
        let mut new = match session.get(name) {
            Some(before) if *append => before.to_owned(),
            _ => String::new(),
        };
        new.push_str(&expand_whole(value, session)?);
        session
            .set(name, new)
            .map_err(|source| ExpandError::Variable {
                name: name.clone(),
                source,
            })?;
    }
    Ok(())
}
