//! `cargo xtask ci`: the gates, as `.ci/run` runs them.

use std::process::Command;

use crate::{command, places};

pub fn run() -> anyhow::Result<()> {
    // One list of gates: the script is what a machine runs that has nothing yet.
    let mut gates = Command::new(places::workspace().join(".ci/run"));
    command::run(gates.current_dir(places::workspace()))
}
