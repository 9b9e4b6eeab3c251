//! `dyno component`: what buildpacks need to know of, and do to, wasm files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use dyno_buildpacks::component::{self, AdaptOptions, GuestWorld};

use crate::places::shown;
use crate::say;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the world a file is made for: wasi:http/proxy@0.2, core-command, …
    Kind {
        /// A component or core module
        file: PathBuf,
    },
    /// Print what a file imports, one per line
    Imports {
        /// A component or core module
        file: PathBuf,
    },
    /// Print what a file exports, one per line
    Exports {
        /// A component or core module
        file: PathBuf,
    },
    /// Print the imports of a component that dyno does not provide; exit code 1 when there are any
    Unmet {
        /// A component
        file: PathBuf,
    },
    /// Make a component of a core module
    Adapt {
        /// The core module
        input: PathBuf,
        /// Where the component goes
        #[arg(short, long)]
        output: PathBuf,
        /// The world to fit it to: web, web-boot, worker, worker-boot [default: by its exports]
        #[arg(long)]
        world: Option<GuestWorld>,
        /// Let the adapter take its memory from memory.grow instead of the module's allocator
        #[arg(long)]
        realloc_via_memory_grow: bool,
    },
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.verb {
        Verb::Kind { file } => say::line(of(file, component::kind)?),
        Verb::Imports { file } => {
            for import in of(file, component::imports)? {
                say::line(import.name);
            }
        }
        Verb::Exports { file } => of(file, component::exports)?.iter().for_each(say::line),
        Verb::Unmet { file } => {
            let unmet = of(file, component::unmet_imports)?;
            unmet.iter().for_each(say::line);
            if !unmet.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Adapt {
            input,
            output,
            world,
            realloc_via_memory_grow,
        } => {
            let mut options = AdaptOptions::default();
            options.world = *world;
            options.realloc_via_memory_grow = *realloc_via_memory_grow;
            let bytes = std::fs::read(input).with_context(|| unreadable(input))?;
            let made = component::adapt(&bytes, &options)
                .with_context(|| format!("{} cannot be made a component", shown(input)))?;
            std::fs::write(output, made)
                .with_context(|| format!("{} cannot be written", shown(output)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn of<T>(
    file: &Path,
    look: impl FnOnce(&[u8]) -> Result<T, component::InspectError>,
) -> anyhow::Result<T> {
    let bytes = std::fs::read(file).with_context(|| unreadable(file))?;
    look(&bytes).with_context(|| format!("{} cannot be looked at", shown(file)))
}

fn unreadable(file: &Path) -> String {
    format!("{} cannot be read", shown(file))
}
