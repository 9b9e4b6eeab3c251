//! A data directory of a test's own, and what is run on it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::app::App;
use crate::binary;
use crate::limits::{BUILD_MAX, CHANGE_MAX, START_MAX, VERB_MAX};
use crate::process::{Finished, Process, Stream};
use crate::wait;

/// An address nobody else has: the system chooses the port.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// A data directory, with the shared toolchains set in its `dyno.toml`.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dyno-e2e-")
            .tempdir()
            .unwrap();
        let toolchains = toml_string(&binary::toolchains());
        let settings = format!("[build]\ntoolchain_dir = {toolchains}\n");
        std::fs::write(directory.path().join("dyno.toml"), settings).unwrap();
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `dyno ARGUMENTS` with this data directory and nothing of the caller's platform.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(binary::dyno());
        command.args(arguments);
        for name in [
            "DYNO_API",
            "DYNO_API_KEY",
            "DYNO_APP",
            "HEROKU_APP",
            "HEROKU_API_KEY",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        command
            .env("DYNO_DATA_DIR", self.path())
            .env("NO_COLOR", "1")
            // For the verbs that build without a platform; a platform reads its settings.
            .env("DYNO_TOOLCHAIN_DIR", binary::toolchains());
        command
    }

    /// Runs a verb to its end.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        Process::start(&mut self.command(arguments))
            .end(VERB_MAX)
            .await
    }

    /// `dyno up SOURCE` until the address of the app is printed.
    pub async fn up(&self, source: &Path, name: &str) -> (Process, App) {
        let mut process = self.start_up(source, name, &[]);
        let app = up_address(&mut process, name).await;
        (process, app)
    }

    /// `dyno up SOURCE`, just started.
    pub fn start_up(&self, source: &Path, name: &str, more: &[&str]) -> Process {
        let mut command = self.command(["up"]);
        command
            .arg(source)
            .args(["--app", name, "--listen", ANY_PORT])
            .args(more);
        Process::start(&mut command)
    }

    /// `dyno serve`, once it serves.
    pub async fn serve(&self) -> (Process, SocketAddr) {
        let mut process = Process::start(&mut self.command(["serve", "--listen", ANY_PORT]));
        let is_ready = |stream, text: &str| stream == Stream::Output && text.starts_with("ready ");
        let line = process
            .line("the line that begins `ready `", START_MAX, is_ready)
            .await;
        let address = address_in(&line).unwrap_or_else(|| panic!("no address in {line:?}"));
        (process, address)
    }

    /// `dyno serve`, once `name` answers.
    pub async fn serve_app(&self, name: &str) -> (Process, App) {
        let (process, address) = self.serve().await;
        let app = App::new(name, address);
        app.answers_at("/").await;
        (process, app)
    }

    /// Scales and waits until as many dynos are up.
    pub async fn scale_web(&self, name: &str, quantity: usize) {
        let change = format!("web={quantity}");
        let scaled = self.run(["ps:scale", "--app", name, change.as_str()]).await;
        scaled.ended_with(0, &[&format!("web at {quantity}")]);
        self.web_dynos_up(name, quantity).await;
    }

    /// Waits until exactly `quantity` web dynos run, all of them up (a dyno nobody asks is idle, and as good).
    pub async fn web_dynos_up(&self, name: &str, quantity: usize) {
        wait::until(
            &format!("{quantity} web dynos up"),
            CHANGE_MAX,
            async || {
                let shown = self.run(["ps", "--app", name]).await.succeeded().output;
                let dynos: Vec<&str> = shown
                    .lines()
                    .filter(|line| line.starts_with("web."))
                    .collect();
                let is_up = |line: &&&str| line.contains(": up ") || line.contains(": idle ");
                let up = dynos.iter().filter(is_up).count();
                if up == quantity && dynos.len() == quantity {
                    Ok(())
                } else {
                    Err(shown)
                }
            },
        )
        .await;
    }
}

/// Waits until `dyno up` has printed where the app is.
pub async fn up_address(process: &mut Process, name: &str) -> App {
    let prefix = format!("http://{name}.localhost:");
    // The build's own last line names the address too, before the dynos are up.
    let is_address = |_, text: &str| text.contains(&prefix) && !text.contains("deployed to");
    let line = process
        .line("the address of the app", BUILD_MAX, is_address)
        .await;
    let (_, after) = line.split_once(&prefix).unwrap();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    let port: u16 = digits
        .parse()
        .unwrap_or_else(|_| panic!("no port in {line:?}"));
    App::new(name, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// The first loopback address in a line.
pub fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("127.0.0.1:")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Some(SocketAddr::from(([127, 0, 0, 1], digits.parse().ok()?)))
}

/// A path as a TOML string.
fn toml_string(path: &Path) -> String {
    serde_json::to_string(path.to_str().unwrap()).unwrap()
}
