//! `dyno setup`: what is set once on a machine.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::api::Api;
use crate::authority::Authority;
use crate::failure::Hint;
use crate::places::{DataDir, shown};
use crate::{git_setting, say};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make git trust the platform, for git push over https
    Git {
        #[command(flatten)]
        data_dir: DataDir,
    },
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let What::Git { data_dir } = &arguments.what;
    git(data_dir)?;
    Ok(ExitCode::SUCCESS)
}

fn git(data_dir: &DataDir) -> anyhow::Result<()> {
    let api = Api::find(data_dir)?;
    let Some(authority) = Authority::of(&api, data_dir)? else {
        bail!(Hint::new(
            format!("the certificate of {} is not on this machine", api.base()),
            "name the platform's data directory with --data-dir"
        ));
    };
    let (name, certificate) = (git_setting::name(api.base()), authority.certificate());
    let before = git_setting::read(&name)?;
    if before.as_deref() == Some(&*certificate.to_string_lossy()) {
        say::line(format!("{name} is {} already.", shown(&certificate)));
    } else {
        git_setting::write(&name, &certificate)?;
        say::line(format!("Set {name} to {}", shown(&certificate)));
        match before {
            Some(before) => say::line(format!("It was {before}.")),
            None => say::line(format!(
                "It was not set. To undo: git config --global --unset {name}"
            )),
        }
    }
    git_setting::refuse_override(&authority)
}
