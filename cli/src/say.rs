//! Lines on standard output and error: coloured on a terminal, plain elsewhere, quiet when the reader has gone.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write, stderr, stdout};

use console::{Style, StyledObject};

/// Prints a line on standard output. A reader that has gone (`dyno logs | head`) ends the process.
pub fn line(text: impl Display) {
    if let Err(error) = writeln!(stdout().lock(), "{text}")
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Prints a line on standard error. There is nobody to tell when that fails.
pub fn error_line(text: &str) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// Prints the beginning of a line on standard error.
pub fn error_part(text: &str) {
    let mut stderr = stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    stdout().is_terminal()
}

/// Important: headings and names. `console` leaves a text plain when standard output is no terminal, or NO_COLOR
/// is set.
pub fn bold<D>(text: D) -> StyledObject<D> {
    Style::new().bold().apply_to(text)
}

/// Good: `up`, `done`.
pub fn green<D>(text: D) -> StyledObject<D> {
    Style::new().green().apply_to(text)
}

/// Beside the point: times, hints.
pub fn dim<D>(text: D) -> StyledObject<D> {
    Style::new().dim().apply_to(text)
}

/// Worth a look: a state that is not `up`.
pub fn yellow<D>(text: D) -> StyledObject<D> {
    Style::new().yellow().apply_to(text)
}

/// The mark before a failure's lines, for standard error.
pub fn mark(mark: char) -> StyledObject<char> {
    Style::new().for_stderr().red().bold().apply_to(mark)
}

/// `=== Title`, Heroku's heading.
pub fn heading(title: impl Display) {
    line(format!("{} {}", dim("==="), bold(title)));
    line("");
}

/// Text of strangers as a terminal may show it: colours pass, everything else that moves a cursor, changes a
/// title or answers back does not.
pub fn terminal_safe(text: &str) -> Cow<'_, str> {
    // Nearly every line.
    if text
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = colour_sequence(rest) {
            safe.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        match character {
            '\t' => safe.push('\t'),
            control if control.is_control() => safe.extend(control.escape_default()),
            other => safe.push(other),
        }
        rest = &rest[character.len_utf8()..];
    }
    Cow::Owned(safe)
}

/// The length of the `ESC [ numbers m` that `text` begins with.
fn colour_sequence(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    numbers[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::terminal_safe;

    #[test]
    fn colours_pass_and_other_escapes_do_not() {
        assert_eq!(
            terminal_safe("a\u{1b}[1;32mok\u{1b}[0m\tb"),
            "a\u{1b}[1;32mok\u{1b}[0m\tb"
        );
        assert_eq!(
            terminal_safe("\u{1b}]0;title\u{7}"),
            "\\u{1b}]0;title\\u{7}"
        );
        assert_eq!(terminal_safe("\u{1b}[2J\u{9b}31m"), "\\u{1b}[2J\\u{9b}31m");
        assert_eq!(terminal_safe("grüße \u{1b}["), "grüße \\u{1b}[");
    }
}
