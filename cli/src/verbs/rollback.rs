//! `dyno rollback`: a new release that runs an earlier one's slug and config vars.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::action::action;
use crate::api::{Release, segment};
use crate::failure::Hint;
use crate::say;
use crate::target::{AppChoice, Target};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The release to go back to [default: the one before the current]
    release: Option<String>,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let to = match &arguments.release {
        Some(release) => {
            let number = release.strip_prefix('v').unwrap_or(release);
            target
                .api
                .get(&target.path(&format!("/releases/{}", segment(number))))
                .await?
        }
        None => previous(&target).await?,
    };
    let title = format!("Rolling back {} to v{}", target.app.name, to.version);
    let made: Release = action(title, async {
        let body = json!({ "release": to.id });
        let made: Release = target.api.post(&target.path("/releases"), &body).await?;
        let version = format!("v{}", made.version);
        Ok((made, version))
    })
    .await?;
    let undo = made.version - 1;
    say::error_line(
        " ›   Warning: Rollback affects code and config vars; it doesn't add or remove addons.",
    );
    say::error_line(&format!(" ›   To undo, run: dyno rollback v{undo}"));
    Ok(ExitCode::SUCCESS)
}

/// The last release before the current one that ran.
async fn previous(target: &Target) -> anyhow::Result<Release> {
    let range = "version ..; max=10, order=desc";
    let releases: Vec<Release> = target.api.list(&target.path("/releases"), range).await?;
    match releases
        .into_iter()
        .filter(|release| release.eligible_for_rollback)
        .nth(1)
    {
        Some(release) => Ok(release),
        None => bail!(Hint::new(
            format!("no release of {} to go back to", target.app.name),
            "dyno releases lists them; one before the current must have been deployed"
        )),
    }
}
