//! Side-by-side benchmarks of dyno, raw hyper and `wasmtime serve`.

mod answer;
mod api;
mod arguments;
mod cold;
mod density;
mod deploy;
mod examples;
mod fairness;
mod hyper_server;
mod languages;
mod limits;
mod load;
mod machine;
mod outbound;
mod page_cache;
mod peers;
mod place;
mod report;
mod results;
mod rounds;
mod scenario;
mod server;
mod soak;
mod statistics;
mod throughput;
mod wasmtime_cli;

use anyhow::bail;
use clap::Parser;
use std::path::Path;
use tokio::runtime;

use crate::arguments::{Arguments, Role, Scenario};
use crate::scenario::Setting;

/// What every server answers.
pub const HELLO: &[u8] = b"hello, world!\n";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::RawHyper { address }) = arguments.role {
        return hyper_server::serve(address);
    }
    // One thread for the clients: they must not take more of the machine than they need.
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(&Setting::of(arguments)?))
}

/// Runs the scenario, prints its section and puts it into the results file.
async fn measure(setting: &Setting) -> anyhow::Result<()> {
    let scenario = setting.arguments.scenario;
    let load_before = machine::load_average();
    let section = match scenario {
        Scenario::Throughput => throughput::run(setting).await,
        Scenario::Density => density::run(setting).await,
        Scenario::Fairness => fairness::run(setting).await,
        Scenario::Cold => cold::run(setting).await,
        Scenario::Deploy => deploy::run(setting).await,
        Scenario::Languages => languages::run(setting).await,
        Scenario::Outbound => outbound::run(setting).await,
        Scenario::Soak => soak::run(setting).await,
    }?;
    let text = setting.markdown(&section, load_before);
    println!("{text}");
    let output = &setting.arguments.output;
    if output != Path::new("-") {
        results::replace(output, &scenario.name(), &text)?;
    }
    match section.failure {
        Some(failure) => bail!("{failure}; see above"),
        None => Ok(()),
    }
}
