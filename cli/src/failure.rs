//! How a failure is shown: what happened, why, and what to do about it.

use std::fmt;

use crate::say;

/// A failure with something the user can do about it.
#[derive(Debug)]
pub struct Hint {
    what: String,
    hint: String,
}

impl Hint {
    /// `what` happened; `hint` helps.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.what, self.hint)
    }
}

impl std::error::Error for Hint {}

/// Prints an error and its causes on standard error, every line marked as Heroku marks them.
pub fn print(error: &anyhow::Error) {
    for line in lines(error) {
        say::error_line(&format!(" {}    {line}", say::mark('!')));
    }
}

/// What happened, then each cause that says more, then the hints.
fn lines(error: &anyhow::Error) -> Vec<String> {
    let (mut lines, mut hints) = (Vec::new(), Vec::new());
    let mut said = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        // A transparent error repeats its source's words.
        if text.is_empty() || said.contains(&text) {
            continue;
        }
        let mut is_hint = false;
        for (number, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            // A hint goes on to the end of its text.
            is_hint |= trimmed.starts_with("hint:");
            if is_hint {
                hints.push(trimmed.to_owned());
            } else if depth > 0 && number == 0 {
                lines.push(format!("  because: {trimmed}"));
            } else if number > 0 {
                lines.push(format!("  {trimmed}"));
            } else {
                lines.push(trimmed.to_owned());
            }
        }
        said.push_str(&text);
    }
    lines.extend(hints);
    lines
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::{Hint, lines};

    #[test]
    fn causes_follow_what_happened_and_hints_come_last() {
        let cause = Hint::new("the port is taken", "choose another");
        let error = anyhow!(cause).context("cannot serve\n  on 127.0.0.1:8080");
        assert_eq!(
            lines(&error),
            [
                "cannot serve",
                "  on 127.0.0.1:8080",
                "  because: the port is taken",
                "hint: choose another"
            ]
        );
    }

    #[test]
    fn a_cause_that_repeats_its_effect_is_not_said_twice() {
        let error = std::io::Error::other("disk is full");
        let error = Err::<(), _>(error).context("disk is full").unwrap_err();
        assert_eq!(lines(&error), ["disk is full"]);
    }
}
