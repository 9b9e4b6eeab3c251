//! The command line: every verb with its arguments.

use clap::{Parser, Subcommand};

use crate::verbs::{component, exec, inspect};

/// Heroku's developer experience on WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "dyno", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Everything `dyno` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what is in a slug
    Inspect(inspect::Arguments),
    /// Run a WebAssembly file in the same sandbox as a dyno
    Exec(exec::Arguments),
    /// Look at and adapt WebAssembly files (for buildpacks)
    Component(component::Arguments),
}
