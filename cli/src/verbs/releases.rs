//! `dyno releases`: the history of an app.

use std::process::ExitCode;

use clap::Args;

use crate::api::Release;
use crate::target::AppChoice;
use crate::{ago, columns, say};

#[derive(Args, Debug)]
pub struct Arguments {
    /// How many, newest first
    #[arg(short, long = "num", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=1000))]
    number: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let range = format!("version ..; max={}, order=desc", arguments.number);
    let releases: Vec<Release> = target.api.list(&target.path("/releases"), &range).await?;
    if arguments.json {
        say::line(serde_json::to_string_pretty(&releases)?);
        return Ok(ExitCode::SUCCESS);
    }
    if releases.is_empty() {
        say::line(format!("{} has no releases.", target.app.name));
        return Ok(ExitCode::SUCCESS);
    }
    let current = releases.iter().find(|release| release.current);
    let current = current.map_or_else(String::new, |release| {
        format!(" - Current: v{}", release.version)
    });
    say::heading(format!("{} Releases{current}", target.app.name));
    let rows = releases.iter().map(|release| {
        vec![
            format!("v{}", release.version),
            format!(
                "{}{}",
                say::terminal_safe(&release.description),
                trouble(release)
            ),
            release.user.email.clone(),
            ago::since(&release.created_at),
        ]
    });
    columns::print(rows.collect());
    Ok(ExitCode::SUCCESS)
}

/// Heroku's words for a release that did not simply succeed.
fn trouble(release: &Release) -> &'static str {
    match release.status.as_str() {
        "failed" => " release command failed",
        "pending" => " release command executing",
        "expired" => " release expired",
        _ => "",
    }
}
