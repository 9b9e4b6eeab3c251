//! `dyno up`: from a folder of source to an app that serves, with the whole platform in this process.

mod address;
mod deploy;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use dyno_platform::{Platform, PlatformOptions};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use self::deploy::Deployment;
use super::serve::STOP_GRACE;
use crate::api::{Api, LogSession, segment};
use crate::env_file::EnvFile;
use crate::failure::Hint;
use crate::log_view::{Layout, LogView};
use crate::places::{DataDir, shown};
use crate::scale::{self, Scale};
use crate::target::app_name;
use crate::text_stream::Lines;
use crate::{say, signals};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The app's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The app's name [default: the folder's]
    #[arg(short, long, value_name = "NAME")]
    app: Option<String>,
    /// Where the API and the app are served; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many dynos of each type: web=2,worker=1 [default: as it was; web=1 at first]
    #[arg(long, value_name = "TYPES", value_parser = formation)]
    formation: Option<FormationWish>,
    /// Set the config vars in this file
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Build and release again when the source changes; the old dynos serve until the new are up
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    data_dir: DataDir,
}

/// `--formation`, which is a list of its own and not a repeated option.
#[derive(Clone, Debug)]
struct FormationWish(Vec<Scale>);

fn formation(text: &str) -> Result<FormationWish, String> {
    scale::parse_list(text).map(FormationWish)
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let folder = arguments.path.canonicalize();
    let folder = folder.with_context(|| format!("{} is not a folder", shown(&arguments.path)))?;
    let Some(name) = arguments.app.or_else(|| app_name(&folder)) else {
        let what = format!("the name of {} does not make an app's name", shown(&folder));
        return Err(Hint::new(what, "choose one with --app NAME").into());
    };
    let vars = arguments
        .env_file
        .as_deref()
        .map(EnvFile::read)
        .transpose()?;
    let filter = EnvFilter::try_from_env("DYNO_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    // Only our own trouble: what apps and the router say is in the app's log.
    drop(
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_writer(std::io::stderr)
            .try_init(),
    );
    let options = PlatformOptions::new(arguments.data_dir.path()?).listen(arguments.listen);
    let platform = Platform::start(options).await?;
    let deployment = Deployment {
        api: Api::new(platform.api_url(), platform.api_key().reveal())?,
        app: name,
        folder,
        vars: vars.map(|vars| vars.0).unwrap_or_default(),
        formation: arguments.formation.map(|wish| wish.0).unwrap_or_default(),
    };
    let stopped = signals::stop();
    let ended = tokio::select! {
        ended = run_until_stopped(&deployment, &platform, arguments.watch) => ended,
        () = stopped => Ok(()),
    };
    if ended.is_ok() {
        say::line("");
        say::line("Stopping...");
    }
    platform.shutdown(STOP_GRACE).await;
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Deploys and then follows; only an error or being dropped ends it.
async fn run_until_stopped(
    deployment: &Deployment,
    platform: &Platform,
    watched: bool,
) -> anyhow::Result<()> {
    // Watching begins before the source is read: what changes during the first build is not missed.
    let changes = watched
        .then(|| watch::Changes::of(&deployment.folder))
        .transpose()?;
    let first = deployment.run().await?;
    address::print(&deployment.app, platform.local_addr()).await;
    let follow = follow(&deployment.api, &deployment.app);
    match changes {
        None => follow.await,
        Some(changes) => tokio::select! {
            ended = follow => ended,
            ended = watch::deploy_on_change(deployment, changes, first) => ended,
        },
    }
}

/// Prints the app's log from now on.
async fn follow(api: &Api, app: &str) -> anyhow::Result<()> {
    let session = json!({ "lines": 0, "tail": true });
    let path = format!("/apps/{}/log-sessions", segment(app));
    let session: LogSession = api.post(&path, &session).await?;
    let mut lines = Lines::new(api.open(&session.logplex_url).await?);
    let mut view = LogView::new(Layout::Foreman);
    while let Some(line) = lines.next().await? {
        view.print(&line);
    }
    anyhow::bail!("the log ended although the platform runs")
}
