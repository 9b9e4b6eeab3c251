//! `dyno apps:destroy`: removes an app and everything of it, after asking.

use std::io::{BufRead as _, IsTerminal as _, stdin};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use crate::action::action;
use crate::failure::Hint;
use crate::say;
use crate::target::AppChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    /// The app's name again, instead of being asked for it
    #[arg(short, long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let name = target.app.name.clone();
    let confirmed = match arguments.confirm {
        Some(confirmed) => confirmed,
        None => ask(&name)?,
    };
    if confirmed != name {
        bail!("Confirmation did not match {name}. Aborted.");
    }
    let title = format!("Destroying {name} (including all add-ons)");
    action(title, async {
        let _: Value = target.api.delete(&target.path("")).await?;
        Ok(((), ""))
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn ask(name: &str) -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        bail!(Hint::new(
            format!("{name} was not destroyed: nobody confirmed it"),
            format!("confirm with: --confirm {name}")
        ));
    }
    say::error_line(&format!(
        " {}    WARNING: This will delete {name} including all add-ons.",
        say::mark('!')
    ));
    say::error_part(&format!(
        " {}    To proceed, type {name} or re-run this command with --confirm {name}: ",
        say::mark('!')
    ));
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
