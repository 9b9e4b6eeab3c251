//! `export`, `unset` and `env`.

use super::Outcome;
use crate::host::ExitStatus;
use crate::session::Session;
use crate::word::is_name;

/// `export NAME=value NAME`; alone it prints what is exported.
pub(super) fn export(arguments: &[String], session: &mut Session) -> Outcome {
    match arguments {
        [] => return Outcome::output(declarations(session)),
        [option] if option == "-p" => return Outcome::output(declarations(session)),
        [option, ..] if option.starts_with('-') && option.len() > 1 && option != "--" => {
            return Outcome::error(
                ExitStatus::SYNTAX,
                format!("bash: export: {option}: not understood on a dyno; use export NAME=value"),
            );
        }
        _ => {}
    }
    let mut outcome = Outcome::default();
    let names = match arguments {
        [option, rest @ ..] if option == "--" => rest,
        all => all,
    };
    for argument in names {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        let (name, append) = match name.strip_suffix('+') {
            Some(stripped) if value.is_some() => (stripped, true),
            _ => (name, false),
        };
        let problem = if is_name(name) {
            value.and_then(|value| {
                let before = session.get(name).filter(|_| append).unwrap_or_default();
                let value = format!("{before}{value}");
                session
                    .set(name, value)
                    .err()
                    .map(|error| error.to_string())
            })
        } else {
            Some("not a valid identifier".to_owned())
        };
        match problem {
            None => session.export(name),
            Some(problem) => {
                outcome.complain(&format!("bash: export: `{argument}': {problem}"));
                outcome.status = ExitStatus::FAILURE;
            }
        }
    }
    outcome
}

/// `unset NAME`.
pub(super) fn unset(arguments: &[String], session: &mut Session) -> Outcome {
    let names = match arguments {
        [option, rest @ ..] if option == "-v" => rest,
        [option, ..] if option.starts_with('-') && option.len() > 1 => {
            return Outcome::error(
                ExitStatus::SYNTAX,
                format!("bash: unset: {option}: not understood on a dyno; use unset NAME"),
            );
        }
        all => all,
    };
    for name in names {
        session.unset(name);
    }
    Outcome::default()
}

/// `env`: the session for the command it is to run, with the command's words; or what it prints itself.
pub(super) fn env(
    arguments: &[String],
    session: &Session,
) -> Result<(Session, Vec<String>), Outcome> {
    let mut inner = session.clone();
    let mut words = arguments.iter().peekable();
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        match option.as_str() {
            "-i" | "-" | "--ignore-environment" => {
                for (name, _) in session.environment() {
                    inner.unset(&name);
                }
            }
            "-u" | "--unset" => match words.next() {
                Some(name) => inner.unset(name),
                None => {
                    let message = "env: option requires an argument -- 'u'".to_owned();
                    return Err(Outcome::error(ExitStatus(125), message));
                }
            },
            "--" => break,
            option => {
                let message = format!("env: {option}: not understood on a dyno");
                return Err(Outcome::error(ExitStatus(125), message));
            }
        }
    }
    while let Some(assignment) = words.next_if(|word| word.contains('=')) {
        let (name, value) = assignment.split_once('=').unwrap_or_default();
        if let Err(error) = inner.set(name, value) {
            return Err(Outcome::error(
                ExitStatus(125),
                format!("env: {name}: {error}"),
            ));
        }
        inner.export(name);
    }
    let words: Vec<String> = words.cloned().collect();
    if !words.is_empty() {
        return Ok((inner, words));
    }
    let mut listing = String::new();
    for (name, value) in inner.environment() {
        listing.extend([&name, "=", &value, "\n"]);
    }
    Err(Outcome::output(listing))
}

/// What `export` prints: commands that would set the same again.
fn declarations(session: &Session) -> String {
    let mut text = String::new();
    for (name, value) in session.exported() {
        text += "declare -x ";
        text += name;
        if let Some(value) = value {
            text += "=\"";
            for character in value.chars() {
                if matches!(character, '"' | '\\' | '$' | '`') {
                    text.push('\\');
                }
                text.push(character);
            }
            text.push('"');
        }
        text.push('\n');
    }
    text
}
