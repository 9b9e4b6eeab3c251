//! `cargo xtask bench`: builds both programs as they are measured, and runs the comparison.

use clap::Args;

use crate::{command, places};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Arguments of the benchmark (try --help after --)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut build = command::cargo();
    build.args(["build", "--release", "--locked"]);
    build.args(["--package", "dyno", "--package", "dyno-bench"]);
    command::run(&mut build)?;
    let mut bench = std::process::Command::new(places::target().join("release/dyno-bench"));
    bench
        .args(&arguments.arguments)
        .current_dir(places::workspace());
    command::run(&mut bench)
}
