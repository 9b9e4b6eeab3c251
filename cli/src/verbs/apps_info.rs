//! `dyno apps:info`: what there is to know about an app.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;

use crate::api::Dyno;
use crate::target::AppChoice;
use crate::{columns, say};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    if arguments.json {
        let app: serde_json::Value = target.api.get(&target.path("")).await?;
        say::line(serde_json::to_string_pretty(&app)?);
        return Ok(ExitCode::SUCCESS);
    }
    let app = &target.app;
    let dynos: Vec<Dyno> = target
        .api
        .list(&target.path("/dynos"), "name ..; max=1000")
        .await?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for dyno in &dynos {
        *counts.entry(&dyno.process_type).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(kind, count)| format!("{kind}: {count}"))
        .collect();
    let mut pairs = vec![
        ("Dynos", counts.join(", ")),
        ("Git URL", app.git_url.clone()),
        ("Owner", app.owner.email.clone()),
        ("Region", app.region.name.clone()),
    ];
    let sizes = [("Repo Size", app.repo_size), ("Slug Size", app.slug_size)];
    pairs.extend(
        sizes
            .into_iter()
            .filter_map(|(name, size)| Some((name, HumanBytes(size?).to_string()))),
    );
    pairs.push(("Stack", app.stack.name.clone()));
    pairs.push(("Web URL", app.web_url.clone()));
    if app.maintenance {
        pairs.push(("Maintenance", "on".to_owned()));
    }
    say::heading(&app.name);
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    columns::print_pairs(&pairs);
    Ok(ExitCode::SUCCESS)
}
