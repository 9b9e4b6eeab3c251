//! The project's own chores: `cargo xtask setup | test | ci | bench | tidy`.

mod bench;
mod ci;
mod command;
mod places;
mod setup;
mod suite;
mod tidy;

use std::process::ExitCode;

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
    /// Check for what builds and tests need, and install what is missing
    Setup,
    /// Build the binary and run all tests
    Test(suite::Arguments),
    /// Run what .ci/run runs: format, lints, tests
    Ci,
    /// Compare dyno with raw hyper and `wasmtime serve`; writes bench/RESULTS.md
    Bench(bench::Arguments),
    /// Check the rules of the house that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Setup => setup::run(),
        Chore::Test(arguments) => suite::run(&arguments),
        Chore::Ci => ci::run(),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
