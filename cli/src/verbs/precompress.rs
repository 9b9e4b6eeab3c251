//! `dyno precompress`: gzip and brotli copies beside a site's files (for buildpacks).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;

use crate::say;

#[derive(Args, Debug)]
pub struct Arguments {
    /// The site's folder
    directory: PathBuf,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let done = dyno_buildpacks::precompress(&arguments.directory)?;
    let (before, after) = (HumanBytes(done.bytes), HumanBytes(done.compressed_bytes));
    say::line(format!(
        "{} files compressed: {before} to {after}",
        done.files
    ));
    Ok(ExitCode::SUCCESS)
}
