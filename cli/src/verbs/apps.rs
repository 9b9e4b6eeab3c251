//! `dyno apps`: the apps of a platform.

use std::process::ExitCode;

use clap::Args;

use crate::api::{Account, App};
use crate::say;
use crate::target::PlatformChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    platform: PlatformChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let api = arguments.platform.api()?;
    if arguments.json {
        let apps: Vec<serde_json::Value> = api.list("/apps", "name ..; max=1000").await?;
        say::line(serde_json::to_string_pretty(&apps)?);
        return Ok(ExitCode::SUCCESS);
    }
    let apps: Vec<App> = api.list("/apps", "name ..; max=1000").await?;
    if apps.is_empty() {
        say::line("You have no apps.");
        return Ok(ExitCode::SUCCESS);
    }
    let account: Account = api.get("/account").await?;
    say::heading(format!("{} Apps", account.email));
    for app in &apps {
        say::line(&app.name);
    }
    say::line("");
    Ok(ExitCode::SUCCESS)
}
