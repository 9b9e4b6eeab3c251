//! `dyno logs`: an app's last lines, and what follows.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::api::LogSession;
use crate::log_view::{Layout, LogView};
use crate::signals;
use crate::target::AppChoice;
use crate::text_stream::Lines;

#[derive(Args, Debug)]
pub struct Arguments {
    /// Go on with the lines that come
    #[arg(short, long)]
    tail: bool,
    /// How many of the last lines [default: 100]
    #[arg(short, long, default_value_t = 100)]
    num: u32,
    /// Only lines of this dyno (web.1)
    #[arg(short, long, value_name = "DYNO")]
    dyno_name: Option<String>,
    /// Only lines of this process type (web)
    #[arg(short, long, value_name = "TYPE", conflicts_with = "dyno_name")]
    process_type: Option<String>,
    /// Only lines of this source (app or heroku)
    #[arg(short, long)]
    source: Option<String>,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let session = json!({
        "lines": arguments.num,
        "tail": arguments.tail,
        "dyno": arguments.dyno_name.or(arguments.process_type),
        "source": arguments.source,
    });
    let session: LogSession = target
        .api
        .post(&target.path("/log-sessions"), &session)
        .await?;
    let mut lines = Lines::new(target.api.open(&session.logplex_url).await?);
    let mut view = LogView::new(Layout::Heroku);
    let print = async {
        while let Some(line) = lines.next().await? {
            view.print(&line);
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = print => ended?,
        () = signals::stop() => {}
    }
    Ok(ExitCode::SUCCESS)
}
