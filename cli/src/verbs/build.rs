//! `dyno build`: source in, slug out, without a platform.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use dyno_buildpacks::{BuildEvent, Cancellation, CompileRequest};
use indicatif::HumanBytes;

use crate::api::ConfigVars;
use crate::build_output::BuildOutput;
use crate::env_file::EnvFile;
use crate::places::{DataDir, shown};
use crate::target::app_name;
use crate::{compiler, say, signals, source_archive};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The app's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Where the slug goes
    #[arg(short, long, value_name = "FILE", default_value = "app.slug")]
    output: PathBuf,
    /// A buildpack by name or folder, instead of the one that takes the app; several run in order
    #[arg(short, long, value_name = "NAME")]
    buildpack: Vec<String>,
    /// Config vars that the buildpack may read
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let vars = match &arguments.env_file {
        Some(file) => EnvFile::read(file)?.0,
        None => ConfigVars::new(),
    };
    let cancellation = Cancellation::new();
    let stopping = cancellation.clone();
    let stopper = tokio::spawn(async move {
        signals::stop().await;
        stopping.cancel();
    });
    let building = tokio::task::spawn_blocking(move || {
        let compiler = compiler::open(&arguments.data_dir)?;
        let work = tempfile::tempdir().context("no temporary folder for the source")?;
        let source = work.path().join("source");
        source_archive::copy(&arguments.path, &source)?;
        let mut request = CompileRequest::new(source, &arguments.output);
        request.cache = app_name(&arguments.path).unwrap_or_else(|| "app".to_owned());
        request.buildpacks = arguments.buildpack;
        request.config_vars = vars;
        let mut output = BuildOutput::new();
        let compiled = compiler.compile(&request, &cancellation, &mut |event| {
            if let BuildEvent::Line(line) = event {
                output.line(line);
            }
        });
        output.end();
        let compiled = compiled?;
        let size = std::fs::metadata(&compiled.slug).map(|file| file.len())?;
        let (slug, size) = (shown(&compiled.slug), HumanBytes(size));
        say::line(format!("-----> {slug} ({size}, {})", compiled.digest));
        anyhow::Ok(())
    });
    let built = building.await.context("the build crashed; this is a bug")?;
    stopper.abort();
    built?;
    Ok(ExitCode::SUCCESS)
}
