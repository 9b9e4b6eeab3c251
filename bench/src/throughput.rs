//! Answers a second of each server on the same hello, and how soon each answers after its start.

use anyhow::Context;
use std::path::Path;

use crate::arguments::Arguments;
use crate::limits::FIRST_ANSWER_TIMEOUT;
use crate::load;
use crate::peers::{self, CEILING, DYNO, DYNO_03, DYNO_FRESH, SERVE, SERVE_03, SERVE_REUSE};
use crate::report;
use crate::rounds::{self, Plan, Table};
use crate::scenario::{Section, Setting};
use crate::server::{Recipe, Server, Start};

/// Ratios that are told beside the table.
const RATIOS: [(&str, &str); 4] = [
    (DYNO, SERVE),
    (DYNO, SERVE_REUSE),
    (DYNO_FRESH, SERVE),
    (DYNO_03, SERVE_03),
];

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let (arguments, work_dir) = (&setting.arguments, &setting.work_dir);
    let mut recipes = peers::prepare(&setting.programs, work_dir)?;
    recipes.retain(|recipe| recipe.name == CEILING || arguments.wants(recipe.name));
    let tables = tables(&recipes, arguments, work_dir).await?;
    let starts = starts(&recipes, arguments.starts, work_dir).await?;
    let mut body = report::servers(&recipes);
    for table in &tables {
        body += &report::rates(table, 3, &RATIOS);
    }
    body += &report::starts(&starts);
    Ok(Section {
        title: "Throughput".to_owned(),
        about: "A hello of 14 bytes through each server, on the same component.".to_owned(),
        body,
        failure: report::failure(&tables),
    })
}

/// Deploys and starts the servers, and measures them in turn with each number of connections.
pub async fn tables(
    recipes: &[Recipe],
    arguments: &Arguments,
    work_dir: &Path,
) -> anyhow::Result<Vec<Table>> {
    let cell = arguments.cell();
    let mut servers = Vec::new();
    for recipe in recipes {
        eprintln!("starting {}", recipe.name);
        Server::deploy(recipe, work_dir).await?;
        let (server, _) = Server::start(recipe, work_dir).await?;
        // Warm: caches, pools and branch predictors of a server that runs for months.
        load::run(server.target(), 16, cell, FIRST_ANSWER_TIMEOUT)
            .await
            .with_context(|| format!("warming up {}", recipe.name))?;
        servers.push((recipe.name, server));
    }
    let mut tables = Vec::new();
    for connections in &arguments.connections {
        let plan = Plan {
            cell,
            rounds: arguments.rounds(),
            connections: *connections,
        };
        // Not counted: as many instances as there are connections are made in it, which takes an interpreter seconds.
        rounds::measure(&servers, Plan { rounds: 1, ..plan }).await;
        tables.push(rounds::measure(&servers, plan).await);
    }
    for (_, server) in servers {
        server.stop()?;
    }
    Ok(tables)
}

/// Starts each server again and again, in turn, with what earlier starts have left on disk.
async fn starts(
    recipes: &[Recipe],
    starts: u16,
    work_dir: &Path,
) -> anyhow::Result<Vec<(&'static str, Vec<Start>)>> {
    let mut all: Vec<_> = recipes
        .iter()
        .map(|recipe| (recipe.name, Vec::new()))
        .collect();
    for round in 0..starts {
        eprint!("\rcold starts: round {} of {starts} ", round + 1);
        for (recipe, (_, starts)) in recipes.iter().zip(&mut all) {
            let (server, start) = Server::start(recipe, work_dir).await?;
            starts.push(start);
            server.stop()?;
        }
    }
    eprintln!();
    all.retain(|(_, starts)| !starts.is_empty());
    Ok(all)
}
