//! `dyno ps`: the dynos of an app, by process type.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use crate::api::Dyno;
use crate::target::AppChoice;
use crate::{ago, say};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Only these process types
    types: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let mut dynos: Vec<Dyno> = target
        .api
        .list(&target.path("/dynos"), "name ..; max=1000")
        .await?;
    if !arguments.types.is_empty() {
        dynos.retain(|dyno| arguments.types.contains(&dyno.process_type));
    }
    if arguments.json {
        say::line(serde_json::to_string_pretty(&dynos)?);
        return Ok(ExitCode::SUCCESS);
    }
    if dynos.is_empty() {
        say::line(format!("No dynos on {}", target.app.name));
    }
    print(dynos);
    Ok(ExitCode::SUCCESS)
}

fn print(dynos: Vec<Dyno>) {
    let mut groups: BTreeMap<String, Vec<Dyno>> = BTreeMap::new();
    for dyno in dynos {
        groups.entry(title(&dyno)).or_default().push(dyno);
    }
    for (title, mut dynos) in groups {
        dynos.sort_by_key(number);
        say::heading(format!("{} ({})", say::terminal_safe(&title), dynos.len()));
        for dyno in &dynos {
            say::line(row(dyno));
        }
        say::line("");
    }
}

fn title(dyno: &Dyno) -> String {
    if dyno.process_type == "run" {
        "run: one-off processes".to_owned()
    } else {
        format!("{} ({}): {}", dyno.process_type, dyno.size, dyno.command)
    }
}

fn row(dyno: &Dyno) -> String {
    let state = if dyno.state == "up" {
        say::green(&dyno.state)
    } else {
        say::yellow(&dyno.state)
    };
    let since = ago::since(&dyno.updated_at);
    if dyno.process_type == "run" {
        let command = say::terminal_safe(&dyno.command);
        format!("{} ({}): {state} {since}: {command}", dyno.name, dyno.size)
    } else {
        format!("{}: {state} {since}", dyno.name)
    }
}

/// The number after the dot, so that web.10 comes after web.2.
fn number(dyno: &Dyno) -> u32 {
    let number = dyno.name.rsplit_once('.').map(|(_, number)| number.parse());
    number.and_then(Result::ok).unwrap_or(0)
}
