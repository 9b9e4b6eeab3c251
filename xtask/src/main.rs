//! The project's own chores: `cargo xtask setup | test | bench | ci`.

mod chores;
mod setup;

use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what builds and tests need and this machine lacks.
    Setup,
    /// Run all tests with the release profile, the real binary and real toolchains.
    Test(chores::Test),
    /// Measure dyno beside its peers and write bench/RESULTS.md.
    Bench {
        /// Passed on to the harness; `-- --help` lists them.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// What must pass before a change lands: format, lints, tests.
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Setup => setup::install_missing(),
        Chore::Test(test) => test.run(),
        Chore::Bench { arguments } => chores::bench(&arguments),
        Chore::Ci => chores::ci(),
    }
}
