//! A user of the Heroku CLI: a home directory, a platform, and what they type.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::app::App;
use crate::place::{Place, address_in};
use crate::process::{Finished, Process};
use crate::sources::{Source, example};
use crate::terminal::Terminal;
use crate::{binary, installation};

/// Node.js takes seconds to start on a busy machine.
const COMMAND_MAX: Duration = Duration::from_mins(3);
/// Begins every command: what the documentation tells a user to type once in a shell.
const EVAL: &str = "eval \"$(\"$DYNO\" env)\" || exit 90; ";

/// The user.
pub struct Heroku {
    home: TempDir,
    pub place: Place,
}

impl Heroku {
    /// A user of a platform that runs in `place`.
    pub fn new(place: Place) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, place }
    }

    /// A user with an app called `shop`, which answers in C and has a tool to `run`.
    pub async fn with_shop() -> (Self, Process, App) {
        let hello = std::fs::read(example("c-hello").join("hello.wasm")).unwrap();
        let tool = include_str!("../guests/commands/console_tool.wat");
        let tool = wat::parse_str(tool).unwrap();
        let source = Source::new(&[
            ("hello.wasm", &hello),
            ("tool.wasm", &tool),
            ("Procfile", b"web: hello.wasm\nconsole: tool.wasm\n"),
        ]);
        let heroku = Self::new(Place::new());
        let (platform, app) = heroku.place.up(source.path(), "shop").await;
        (heroku, platform, app)
    }

    /// Runs `heroku ARGUMENTS` to its end.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        let mut command = self.shell("exec \"$HEROKU\" \"$@\"");
        command.args(arguments);
        Process::start(&mut command).end(COMMAND_MAX).await
    }

    /// Runs it with words on its standard input.
    pub async fn run_with_input<A: AsRef<OsStr>>(
        &self,
        input: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Finished {
        let mut command = self.shell("printf '%s' \"$INPUT\" | \"$HEROKU\" \"$@\"");
        command.env("INPUT", input).args(arguments);
        Process::start(&mut command).end(COMMAND_MAX).await
    }

    /// Starts it, and leaves it running.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Process {
        let mut command = self.shell("exec \"$HEROKU\" \"$@\"");
        command.args(arguments);
        Process::start(&mut command)
    }

    /// Starts it on a terminal.
    pub fn on_terminal(&self, words: &str) -> Terminal {
        Terminal::start(self.shell(&format!("exec \"$HEROKU\" {words}")))
    }

    /// Starts it on a terminal, as somebody who has no key yet.
    pub fn on_terminal_without_key(&self, words: &str) -> Terminal {
        let line = format!("unset HEROKU_API_KEY; exec \"$HEROKU\" {words}");
        Terminal::start(self.shell(&line))
    }

    /// Runs it as somebody who has no key in the environment.
    pub async fn run_without_key<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Finished {
        let mut command = self.shell("unset HEROKU_API_KEY; exec \"$HEROKU\" \"$@\"");
        command.args(arguments);
        Process::start(&mut command).end(COMMAND_MAX).await
    }

    /// Runs any line of shell in the user's environment.
    pub async fn shell_line(&self, line: &str) -> Finished {
        Process::start(&mut self.shell(line)).end(COMMAND_MAX).await
    }

    /// Where the platform listens.
    pub fn address(&self) -> SocketAddr {
        let url = std::fs::read_to_string(self.place.path().join("api-url"));
        address_in(&url.unwrap()).unwrap()
    }

    /// The key of the installation.
    pub fn key(&self) -> String {
        let key = std::fs::read_to_string(self.place.path().join("api-key"));
        key.unwrap().trim().to_owned()
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let home = self.home.path();
        command
            .args(["-c", &format!("{EVAL}{line}"), "heroku"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DYNO", binary::dyno())
            .env("DYNO_DATA_DIR", self.place.path())
            .env("HEROKU", installation::heroku())
            .env("HEROKU_NETRC_WRITE", "true")
            .env("HOME", home)
            .env("TERM", "xterm")
            .current_dir(home);
        for (name, folder) in [
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
        ] {
            command.env(name, home.join(folder));
        }
        command
    }
}
