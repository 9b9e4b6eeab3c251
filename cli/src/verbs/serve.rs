//! `dyno serve`: the platform, without deploying anything.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use dyno_platform::{
    ConsoleBatch, ConsoleLine, ConsoleReader, LogSource, Platform, PlatformOptions,
};
use tracing_subscriber::EnvFilter;

use crate::places::{DataDir, shown};
use crate::{say, signals};

/// How long requests in flight and dynos may take to end: Heroku's 30 seconds, and a little for ourselves.
pub const STOP_GRACE: Duration = Duration::from_secs(35);

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// Where the API and the apps are served; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A settings file [default: dyno.toml in the data directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the log there instead of on standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Write the apps' own lines as well
    #[arg(long)]
    follow: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let log = Log::open(arguments.log_file.as_deref())?;
    log.take_our_own()?;
    let mut options = PlatformOptions::new(arguments.data_dir.path()?).listen(arguments.listen);
    if let Some(file) = arguments.config {
        options = options.settings_file(file);
    }
    let platform = Platform::start(options).await?;
    let console = platform.console();
    let writer = tokio::spawn(write_log(log, console, arguments.follow));
    say::line(format!("ready {}", platform.api_url()));
    signals::stop().await;
    tracing::info!(
        "stopping: requests in flight have {} s to end",
        STOP_GRACE.as_secs()
    );
    let report = platform.shutdown(STOP_GRACE).await;
    if report.connections_cut > 0 {
        tracing::warn!(
            "{} connections were still busy and were cut",
            report.connections_cut
        );
    }
    writer.abort();
    Ok(ExitCode::SUCCESS)
}

/// Where the platform's lines go.
struct Log {
    file: Option<File>,
}

impl Log {
    fn open(path: Option<&Path>) -> anyhow::Result<Log> {
        let file = path
            .map(|path| {
                // Apps' lines may hold what only the operator should read.
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(path)
                    .with_context(|| format!("the log file {} cannot be written", shown(path)))
            })
            .transpose()?;
        Ok(Log { file })
    }

    /// Sends what the libraries trace the same way.
    fn take_our_own(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_from_env("DYNO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false);
        // A second subscriber in one process is not possible, and not needed.
        let set = match &self.file {
            Some(file) => {
                let file = file
                    .try_clone()
                    .context("the log file cannot be used twice")?;
                subscriber
                    .with_ansi(false)
                    .with_writer(Mutex::new(file))
                    .try_init()
            }
            None => subscriber
                .with_ansi(console::colors_enabled_stderr())
                .with_writer(std::io::stderr)
                .try_init(),
        };
        set.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
    }

    /// Writes whole lines at once.
    fn write(&mut self, lines: &str) {
        match &mut self.file {
            // A full disk must not stop the platform; the lines are lost.
            Some(file) => drop(file.write_all(lines.as_bytes())),
            None => say::error_part(lines),
        }
    }
}

async fn write_log(mut log: Log, mut console: ConsoleReader, follow: bool) {
    let mut text = String::new();
    loop {
        let ConsoleBatch { missed, lines, .. } = console.next().await;
        text.clear();
        if missed > 0 {
            text = format!("{missed} log lines were missed\n");
        }
        for ConsoleLine { app, line } in lines {
            let is_apps_own = line.source == LogSource::App && &*line.process != "api";
            if follow || !is_apps_own {
                // A terminal may be behind standard error, and an app wrote the text.
                text += &say::terminal_safe(&format!("{app} {line}"));
                text.push('\n');
            }
        }
        log.write(&text);
    }
}
