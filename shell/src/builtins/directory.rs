//! `cd`, `pwd` and `ls`.

use std::fmt::Write as _;

use super::Outcome;
use crate::host::{Entry, ExitStatus, FileError, FileKind, Host};
use crate::limits::DIRECTORY_ENTRIES_MAX;
use crate::path::resolve;
use crate::session::Session;

/// `cd`, `cd PATH`, `cd -`.
pub(super) async fn cd<H: Host>(
    arguments: &[String],
    session: &mut Session,
    host: &mut H,
) -> Outcome {
    let arguments = match arguments {
        [option, rest @ ..] if option == "--" => rest,
        all => all,
    };
    let fail =
        |message: String| Outcome::error(ExitStatus::FAILURE, format!("bash: cd: {message}"));
    let target = match arguments {
        [] => session.get("HOME").ok_or("HOME not set"),
        [dash] if dash == "-" => session.get("OLDPWD").ok_or("OLDPWD not set"),
        [option] if option.starts_with('-') => {
            let message = format!("bash: cd: {option}: not understood on a dyno; use cd PATH");
            return Outcome::error(ExitStatus::SYNTAX, message);
        }
        [path] => Ok(path.as_str()),
        _ => Err("too many arguments"),
    };
    let target = match target {
        Ok(target) => target.to_owned(),
        Err(message) => return fail(message.to_owned()),
    };
    let directory = resolve(&session.directory, &target);
    match host.kind(&directory).await {
        Some(FileKind::Directory) => {}
        Some(_) => return fail(format!("{target}: Not a directory")),
        None => return fail(format!("{target}: No such file or directory")),
    }
    let printed = match arguments {
        [dash] if dash == "-" => format!("{directory}\n"),
        _ => String::new(),
    };
    match session.change_directory(directory) {
        Ok(()) => Outcome::output(printed),
        Err(error) => fail(error.to_string()),
    }
}

/// `pwd`; with -P it is the same, as the working directory is known by its name alone.
pub(super) fn pwd(arguments: &[String], session: &Session) -> Outcome {
    let wrong = arguments
        .iter()
        .take_while(|option| option.starts_with('-') && option.len() > 1 && *option != "--")
        .find_map(|option| option[1..].chars().find(|letter| !"LP".contains(*letter)));
    match wrong {
        None => Outcome::output(format!("{}\n", session.directory)),
        Some(letter) => Outcome::error(
            ExitStatus::SYNTAX,
            format!("bash: pwd: -{letter}: invalid option\npwd: usage: pwd [-LP]"),
        ),
    }
}

/// `ls`, with names one to a line; -a, -l and -1 are understood.
pub(super) async fn ls<H: Host>(arguments: &[String], session: &Session, host: &mut H) -> Outcome {
    let (options, names): (Vec<_>, Vec<_>) = arguments
        .iter()
        .partition(|argument| argument.starts_with('-') && argument.len() > 1);
    let letters: String = options
        .iter()
        .flat_map(|option| option[1..].chars())
        .collect();
    if let Some(letter) = letters.chars().find(|letter| !"al1".contains(*letter)) {
        let message = format!("ls: -{letter}: not understood on a dyno; there are -a, -l and -1");
        return Outcome::error(ExitStatus::SYNTAX, message);
    }
    let all = letters.contains('a');
    let long = letters.contains('l');
    let here = ".".to_owned();
    let names = if names.is_empty() { vec![&here] } else { names };
    let several = names.len() > 1;
    let mut outcome = Outcome::default();
    // Files come before the contents of directories.
    let mut files = String::new();
    let mut text = String::new();
    for name in names {
        let path = resolve(&session.directory, name);
        match host.list(&path, DIRECTORY_ENTRIES_MAX).await {
            Ok(mut entries) => {
                if entries.len() >= DIRECTORY_ENTRIES_MAX {
                    outcome.complain(&format!(
                        "ls: {name}: only {DIRECTORY_ENTRIES_MAX} entries are shown"
                    ));
                }
                entries.truncate(DIRECTORY_ENTRIES_MAX);
                entries.retain(|entry| all || !entry.name.starts_with('.'));
                if all {
                    entries.extend([".", ".."].map(|name| Entry {
                        name: name.to_owned(),
                        kind: FileKind::Directory,
                        bytes: 0,
                    }));
                }
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                if several {
                    let _ = writeln!(text, "\n{name}:");
                }
                for entry in &entries {
                    row(&mut text, entry, long);
                }
            }
            Err(FileError::NotDirectory) => {
                let _ = writeln!(files, "{name}");
            }
            Err(error) => {
                outcome.complain(&format!("ls: cannot access '{name}': {error}"));
                outcome.status = ExitStatus::SYNTAX;
            }
        }
    }
    let listing = files + &text;
    outcome.output = listing.trim_start_matches('\n').into();
    outcome
}

fn row(text: &mut String, entry: &Entry, long: bool) {
    let name = &entry.name;
    let kind = match entry.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Link => 'l',
    };
    let _ = if long {
        writeln!(text, "{kind} {:>12} {name}", entry.bytes)
    } else {
        writeln!(text, "{name}")
    };
}
