//! The commands that need no program: those of bash, and the small ones that every Unix has.

mod condition;
mod directory;
mod echo;
mod environment;

use crate::host::{ExitStatus, Host, Streams};
use crate::interpreter::{Caller, Flow, Interpreter};
use crate::session::Session;

/// bash's own: nothing in a slug can take their place.
const FIRST: &[&str] = &[
    ":", "[", "cd", "echo", "exec", "exit", "export", "false", "pwd", "test", "true", "unset",
];
/// Programs of a Unix system: a slug's own of that name come first, and these stand in for them.
const STAND_INS: &[&str] = &[
    "[", "bash", "cat", "echo", "env", "false", "ls", "pwd", "sh", "test", "true",
];

/// Whether a command of this name is never looked for in the slug.
pub(crate) fn comes_first(name: &str) -> bool {
    FIRST.contains(&name)
}

/// Whether there is a command for this name where the slug has no program.
pub(crate) fn stands_in(name: &str) -> bool {
    STAND_INS.contains(&name)
}

/// Whether this name works without the slug having anything.
pub(crate) fn is_known(name: &str) -> bool {
    comes_first(name) || stands_in(name)
}

/// What a built-in command leaves.
#[derive(Debug, Default)]
struct Outcome {
    output: Vec<u8>,
    errors: String,
    status: ExitStatus,
}

impl Outcome {
    fn output(text: impl Into<Vec<u8>>) -> Self {
        Self {
            output: text.into(),
            ..Self::default()
        }
    }

    fn status(status: ExitStatus) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Adds a line to what goes to standard error.
    fn complain(&mut self, line: &str) {
        self.errors.push_str(line);
        self.errors.push('\n');
    }

    fn error(status: ExitStatus, message: String) -> Self {
        Self {
            errors: message + "\n",
            status,
            ..Self::default()
        }
    }
}

impl<H: Host> Interpreter<'_, H> {
    pub(crate) async fn builtin(
        &mut self,
        words: &[String],
        session: &mut Session,
        streams: Streams,
    ) -> Flow {
        let Some((name, arguments)) = words.split_first() else {
            return Flow::Next;
        };
        let outcome = match name.as_str() {
            ":" | "true" => Outcome::default(),
            "false" => Outcome::status(ExitStatus::FAILURE),
            "echo" => Outcome::output(echo::echo(arguments)),
            "pwd" => directory::pwd(arguments, session),
            "cd" => directory::cd(arguments, session, self.host).await,
            "ls" => directory::ls(arguments, session, self.host).await,
            "export" => environment::export(arguments, session),
            "unset" => environment::unset(arguments, session),
            "test" | "[" => condition::test(name, arguments, session, self.host).await,
            "cat" => self.cat(arguments, session, streams).await,
            "env" => return self.env(arguments, session, streams).await,
            "exec" => return self.exec(arguments, session, streams).await,
            "exit" => return self.exit(arguments, session, streams).await,
            "bash" | "sh" => match arguments {
                [option, line] if option == "-c" => {
                    self.shell(name, line, session, streams).await;
                    return Flow::Next;
                }
                _ => Outcome::error(
                    ExitStatus::SYNTAX,
                    format!(
                        "{name}: on a dyno it is understood as \"{name} -c LINE\", or alone as a whole command"
                    ),
                ),
            },
            _ => Outcome::error(
                ExitStatus::NOT_FOUND,
                format!("bash: {name}: command not found"),
            ),
        };
        self.write(streams.output, &outcome.output).await;
        self.write(streams.errors, outcome.errors.as_bytes()).await;
        session.status = outcome.status;
        Flow::Next
    }

    async fn exit(&mut self, arguments: &[String], session: &Session, streams: Streams) -> Flow {
        let (status, error) = match arguments {
            [] => (session.status, None),
            [number, rest @ ..] => match number.trim().parse::<i64>() {
                Err(_) => (
                    ExitStatus::SYNTAX,
                    Some(format!("bash: exit: {number}: numeric argument required\n")),
                ),
                Ok(_) if !rest.is_empty() => (
                    ExitStatus::FAILURE,
                    Some("bash: exit: too many arguments\n".to_owned()),
                ),
                Ok(number) => (ExitStatus(number.to_le_bytes()[0]), None),
            },
        };
        if let Some(error) = error {
            self.write(streams.errors, error.as_bytes()).await;
        }
        Flow::Exit(status)
    }

    async fn exec(
        &mut self,
        arguments: &[String],
        session: &mut Session,
        streams: Streams,
    ) -> Flow {
        if arguments.is_empty() {
            session.status = ExitStatus::SUCCESS;
            return Flow::Next;
        }
        let flow = self
            .invoke(arguments.to_vec(), session, streams, Caller::Exec)
            .await;
        match flow {
            Flow::Next => Flow::Exit(session.status),
            flow => flow,
        }
    }

    async fn env(&mut self, arguments: &[String], session: &mut Session, streams: Streams) -> Flow {
        match environment::env(arguments, session) {
            Err(outcome) => {
                self.write(streams.output, &outcome.output).await;
                self.write(streams.errors, outcome.errors.as_bytes()).await;
                session.status = outcome.status;
                Flow::Next
            }
            Ok((mut inner, words)) => {
                let flow = self.invoke(words, &mut inner, streams, Caller::Env).await;
                session.status = match flow {
                    Flow::Next => inner.status,
                    Flow::Exit(status) | Flow::Abort(status) => status,
                };
                Flow::Next
            }
        }
    }

    async fn cat(&mut self, arguments: &[String], session: &Session, streams: Streams) -> Outcome {
        if arguments.is_empty() || arguments.iter().any(|argument| argument.starts_with('-')) {
            return Outcome::error(
                ExitStatus::FAILURE,
                "cat: on a dyno it needs the names of files, and has no options".to_owned(),
            );
        }
        let mut status = ExitStatus::SUCCESS;
        for name in arguments {
            let path = crate::path::resolve(&session.directory, name);
            if let Err(error) = self.host.copy(&path, streams.output).await {
                let message = format!("cat: {name}: {error}\n");
                self.write(streams.errors, message.as_bytes()).await;
                status = ExitStatus::FAILURE;
            }
        }
        Outcome::status(status)
    }
}
