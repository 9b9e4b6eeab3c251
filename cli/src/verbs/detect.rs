//! `dyno detect`: which buildpack takes an app.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use dyno_buildpacks::{Cancellation, CompileError};

use crate::places::DataDir;
use crate::{compiler, say};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The app's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    data_dir: DataDir,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let compiler = compiler::open(&arguments.data_dir)?;
    // Scripts are run from elsewhere.
    let path = std::path::absolute(&arguments.path)?;
    match compiler.detect(&path, &Cancellation::new()) {
        Ok(detected) => {
            say::line(detected.buildpack.name());
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ CompileError::NoBuildpack { .. }) => {
            // A script reads a word, a person the reason.
            say::line("none");
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}
