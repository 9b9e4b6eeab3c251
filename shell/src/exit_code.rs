//! How the Heroku CLI learns a command's exit status.
//!
//! `heroku run --exit-code` appends an `echo` to the command, and looks for what it prints in each chunk of the output.
//! It is taken off before the line is parsed, and printed when the line has ended in whatever way: after `exit 3` no shell
//! would come to that `echo`, and the CLI would end with an error of its own.

use crate::host::ExitStatus;

/// What the CLI appends.
const SUFFIX: &str = " ; echo \"\u{ffff} heroku-command-exit-status: $?\"";

/// The command as the user wrote it, when its exit status was asked for.
///
/// ```
/// use dyno_shell::exit_code;
///
/// let sent = "python -V ; echo \"\u{ffff} heroku-command-exit-status: $?\"";
/// assert_eq!(exit_code::requested(sent), Some("python -V"));
/// assert_eq!(exit_code::requested("python -V"), None);
/// ```
pub fn requested(command: &str) -> Option<&str> {
    command.trim_end().strip_suffix(SUFFIX)
}

/// What the CLI looks for. It must be written at once, so that it arrives in one chunk.
///
/// ```
/// use dyno_shell::{ExitStatus, exit_code};
///
/// assert_eq!(exit_code::mark(ExitStatus(3)), "\n\u{ffff} heroku-command-exit-status: 3\n");
/// ```
pub fn mark(status: ExitStatus) -> String {
    format!("\n\u{ffff} heroku-command-exit-status: {}\n", status.0)
}
