//! `dyno doctor`: looks at everything that a deploy needs of this machine, and says how to mend what is missing.

mod checks;

use std::process::ExitCode;

use clap::Args;

use crate::places::DataDir;
use crate::say;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
}

/// What was found about one thing.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Good(String),
    /// Something is missing without which most things work.
    Doubtful {
        what: String,
        mend: String,
    },
    /// Something that is needed is missing.
    Bad {
        what: String,
        mend: String,
    },
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let findings = checks::all(&arguments.data_dir).await?;
    let mut bad = 0;
    for (name, finding) in &findings {
        let (mark, what, mend) = match finding {
            Finding::Good(what) => (say::green("ok  "), what, None),
            Finding::Doubtful { what, mend } => (say::yellow("note"), what, Some(mend)),
            Finding::Bad { what, mend } => {
                bad += 1;
                (say::yellow("BAD "), what, Some(mend))
            }
        };
        say::line(format!(
            "{mark}  {}  {what}",
            say::bold(format!("{name:<11}"))
        ));
        if let Some(mend) = mend {
            say::line(format!("      {:<11}  to mend: {mend}", ""));
        }
    }
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    say::line("");
    say::line(format!("{bad} of {} things need mending.", findings.len()));
    Ok(ExitCode::FAILURE)
}
