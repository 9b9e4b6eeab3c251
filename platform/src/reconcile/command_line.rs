//! What a one-off's command line means: which process type's code runs it, and with which arguments.
//!
//! This is the one place where a command line is read. Dynos have no shell: quotes, variables and assignments are
//! understood, and one program is run. Whatever is to run more of a shell's language begins here.

use std::collections::BTreeMap;

use dyno_shell::{Line, Session, Simple};

use super::desired::DesiredRelease;
use super::engine::Run;
use super::members::WEB;
use super::one_off::OneOffError;

/// Where a command starts.
const HOME: &str = "/app";

/// What `heroku run --exit-code` appends to every command, for a shell to print the status.
const REPORT_STATUS: &str = " ; echo \"\u{ffff} heroku-command-exit-status: $?\"";

/// A command line that can be run.
#[derive(Debug)]
pub(super) struct CommandLine {
    /// Whose code runs it.
    pub process_type: String,
    pub run: Run,
    /// What it sets for itself: `NAME=value program`.
    pub assignments: Vec<(String, String)>,
}

/// The command without what asks for its status, and whether that was asked for.
pub(crate) fn take_status_report(command: &str) -> (&str, bool) {
    match command.strip_suffix(REPORT_STATUS) {
        Some(command) => (command, true),
        None => (command, false),
    }
}

/// Reads a command line for a release. Its variables are those of the release, and of the client's own `environment`.
pub(super) fn read(
    release: &DesiredRelease,
    environment: &BTreeMap<String, String>,
    command: &str,
) -> Result<CommandLine, OneOffError> {
    let variables = release.config_vars.as_map().iter().chain(environment);
    let session = Session::new(variables, HOME);
    let Simple {
        assignments,
        mut words,
        ..
    } = Line::parse(command)?
        .to_simple(&session)
        .ok_or(OneOffError::NotOneProgram)?;
    let types = &release.slug.process_types;
    if let Some(first) = words.first()
        && let Some((process_type, _)) = types.get_key_value(first)
    {
        // `rake db:migrate`: the type's own arguments, then what follows.
        let more = words.split_off(1);
        return Ok(CommandLine {
            process_type: process_type.clone(),
            run: Run::OnceWith(more),
            assignments,
        });
    }
    // The language's interpreter is in every process type of an app; a type made for consoles comes first.
    let preferred = ["console", "run", WEB]
        .into_iter()
        .find(|name| types.contains_key(*name));
    let process_type = preferred
        .map(str::to_owned)
        .or_else(|| types.keys().next().cloned())
        .ok_or(OneOffError::NoRelease)?;
    Ok(CommandLine {
        process_type,
        run: Run::OnceInstead(words),
        assignments,
    })
}

#[cfg(test)]
mod tests {
    use super::take_status_report;

    #[test]
    fn the_suffix_of_the_cli_is_understood_and_nothing_else() {
        let asked = "python x.py ; echo \"\u{ffff} heroku-command-exit-status: $?\"";
        assert_eq!(take_status_report(asked), ("python x.py", true));
        assert_eq!(take_status_report("echo $?"), ("echo $?", false));
    }
}
