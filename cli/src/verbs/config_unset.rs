//! `dyno config:unset`: removes config vars, which makes a release.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};

use crate::action::action;
use crate::api::ConfigVars;
use crate::target::AppChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    /// The names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let names = arguments.names.join(", ");
    let title = format!("Unsetting {names} and restarting {}", target.app.name);
    action(title, async {
        let names = arguments.names.iter().cloned();
        let body: Map<String, Value> = names.map(|name| (name, Value::Null)).collect();
        let _: ConfigVars = target
            .api
            .patch(&target.path("/config-vars"), &body.into())
            .await?;
        Ok(((), target.newest_release().await?))
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
