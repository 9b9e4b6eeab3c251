//! `dyno ps:scale`: how many dynos of each type, of which size.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::action::action;
use crate::api::Formation;
use crate::say;
use crate::scale::Scale;
use crate::target::AppChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    /// web=2, worker+1, web=1:Standard-2X; none prints what there is
    changes: Vec<Scale>,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let path = target.path("/formation");
    if arguments.changes.is_empty() {
        let formation: Vec<Formation> = target.api.get(&path).await?;
        let shown: Vec<String> = formation
            .iter()
            .map(|entry| format!("{}={}:{}", entry.process_type, entry.quantity, entry.size))
            .collect();
        if shown.is_empty() {
            say::line(format!(
                "No process types on {}; deploy it first",
                target.app.name
            ));
        } else {
            say::line(shown.join(" "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let updates: Vec<_> = arguments.changes.iter().map(Scale::update).collect();
    action("Scaling dynos", async {
        let body = json!({ "updates": updates });
        let changed: Vec<Formation> = target.api.patch(&path, &body).await?;
        let now: Vec<String> = changed
            .iter()
            .map(|entry| {
                format!(
                    "{} at {}:{}",
                    entry.process_type, entry.quantity, entry.size
                )
            })
            .collect();
        Ok(((), format!("now running {}", now.join(", "))))
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
