//! The verbs, one file each, and the way from a verb to its code.

pub mod component;
pub mod exec;
pub mod inspect;

use std::process::ExitCode;

use crate::arguments::Verb;

/// Does what was asked; the exit code is the verb's own.
pub async fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Component(arguments) => component::run(&arguments),
        Verb::Exec(arguments) => exec::run(arguments).await,
        Verb::Inspect(arguments) => inspect::run(&arguments),
    }
}
