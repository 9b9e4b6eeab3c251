//! `dyno config:set`: changes config vars, which makes a release.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};

use super::config;
use crate::action::action;
use crate::api::ConfigVars;
use crate::target::AppChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    /// NAME=VALUE
    #[arg(required = true, value_parser = variable)]
    vars: Vec<(String, String)>,
    #[command(flatten)]
    app: AppChoice,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text} is invalid. Must be in the format FOO=bar.")),
    }
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let names: Vec<_> = arguments
        .vars
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let title = format!(
        "Setting {} and restarting {}",
        names.join(", "),
        target.app.name
    );
    let all = action(title, async {
        let vars = arguments.vars.iter().cloned();
        let body: Map<String, Value> = vars.map(|(name, value)| (name, value.into())).collect();
        let all: ConfigVars = target
            .api
            .patch(&target.path("/config-vars"), &body.into())
            .await?;
        Ok((all, target.newest_release().await?))
    })
    .await?;
    config::print(
        all.into_iter()
            .filter(|(name, _)| names.contains(&name.as_str())),
    );
    Ok(ExitCode::SUCCESS)
}
