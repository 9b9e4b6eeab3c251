//! `.env`: `NAME=value` lines, with comments, `export` and quotes as people write them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::failure::Hint;
use crate::places::shown;

/// All config vars of an app together have at most 64 KB; a much larger file is another one.
const BYTES_MAX: u64 = 256 * 1024;

/// The variables of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct EnvFile(pub BTreeMap<String, String>);

impl EnvFile {
    /// Reads a file that must exist.
    pub fn read(path: &Path) -> anyhow::Result<EnvFile> {
        let unreadable = || format!("{} cannot be read", shown(path));
        let length = std::fs::metadata(path).with_context(unreadable)?.len();
        if length > BYTES_MAX {
            bail!(
                "{} is no file of variables: it has {length} bytes",
                shown(path)
            );
        }
        let text = std::fs::read_to_string(path).with_context(unreadable)?;
        parse(&text).map_err(|(line, problem)| {
            Hint::new(
                format!("{}, line {line}: {problem}", shown(path)),
                "write NAME=value, NAME=\"value\" or NAME='value' on each line",
            )
            .into()
        })
    }
}

/// The variables, or the number of a bad line and what is wrong with it.
fn parse(text: &str) -> Result<EnvFile, (usize, &'static str)> {
    let mut vars = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let wrong = |problem| (number + 1, problem);
        let (name, written) = line.split_once('=').ok_or(wrong("there is no ="))?;
        let name = name.trim();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty()
            || name.starts_with(|first: char| first.is_ascii_digit())
            || !name.bytes().all(is_name)
        {
            return Err(wrong("a name has letters, digits and _ only"));
        }
        vars.insert(
            name.to_owned(),
            value(written.trim()).ok_or(wrong("a quote is not closed"))?,
        );
    }
    Ok(EnvFile(vars))
}

/// A value without its quotes; `None` when they do not match.
fn value(written: &str) -> Option<String> {
    if let Some(rest) = written.strip_prefix('\'') {
        return rest.split_once('\'').map(|(value, _)| value.to_owned());
    }
    if let Some(rest) = written.strip_prefix('"') {
        return double_quoted(rest);
    }
    // A `#` inside a word (a colour, a fragment of an address) is no comment.
    let end = written.find(" #").unwrap_or(written.len());
    Some(written[..end].trim_end().to_owned())
}

fn double_quoted(rest: &str) -> Option<String> {
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn value_of(line: &str) -> String {
        parse(line).unwrap().0["A"].clone()
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!(value_of("A=b c # comment"), "b c");
        assert_eq!(value_of("export A=#fff"), "#fff");
        assert_eq!(value_of("A = \"x\\ny \\\"z\\\"\" # c"), "x\ny \"z\"");
        assert_eq!(value_of("A='$HOME \\n'"), "$HOME \\n");
        assert_eq!(value_of("# c\n\nA=http://h/?a=b"), "http://h/?a=b");
        assert_eq!(value_of("A="), "");
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        assert_eq!(parse("A=1\nB").unwrap_err().0, 2);
        assert_eq!(parse("1A=1").unwrap_err().0, 1);
        assert_eq!(parse("A=\"x").unwrap_err(), (1, "a quote is not closed"));
    }
}
