//! `test` and `[`, up to three words and a `!`, as POSIX defines them.

use super::Outcome;
use crate::host::{ExitStatus, FileKind, Host};
use crate::path::resolve;
use crate::session::Session;

/// `test EXPRESSION` or `[ EXPRESSION ]`.
pub(super) async fn test<H: Host>(
    name: &str,
    arguments: &[String],
    session: &Session,
    host: &mut H,
) -> Outcome {
    let words = match (name, arguments) {
        ("[", [words @ .., last]) if last == "]" => words,
        ("[", _) => {
            return Outcome::error(ExitStatus::SYNTAX, "bash: [: missing `]'".to_owned());
        }
        (_, words) => words,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match evaluate(&words, session, host).await {
        Ok(holds) => Outcome::status(ExitStatus(u8::from(!holds))),
        Err(problem) => Outcome::error(ExitStatus::SYNTAX, format!("bash: {name}: {problem}")),
    }
}

async fn evaluate<H: Host>(
    words: &[&str],
    session: &Session,
    host: &mut H,
) -> Result<bool, String> {
    // How the words are read depends on how many there are.
    match words {
        [] => Ok(false),
        [left, operator, right] if is_binary(operator) => binary(left, operator, right),
        [word] | ["(", word, ")"] => Ok(!word.is_empty()),
        ["!", word] => Ok(word.is_empty()),
        [operator, word] => unary(operator, word, session, host).await,
        ["!", left, operator, right] if is_binary(operator) => Ok(!binary(left, operator, right)?),
        ["!", operator, word] => Ok(!unary(operator, word, session, host).await?),
        [_, operator, _] => Err(format!("{operator}: binary operator expected")),
        _ => Err("too many arguments".to_owned()),
    }
}

fn is_binary(operator: &str) -> bool {
    matches!(
        operator,
        "=" | "==" | "!=" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge"
    )
}

fn binary(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    match operator {
        "=" | "==" => return Ok(left == right),
        "!=" => return Ok(left != right),
        _ => {}
    }
    let (left, right) = (integer(left)?, integer(right)?);
    Ok(match operator {
        "-eq" => left == right,
        "-ne" => left != right,
        "-lt" => left < right,
        "-le" => left <= right,
        "-gt" => left > right,
        _ => left >= right,
    })
}

fn integer(word: &str) -> Result<i64, String> {
    word.trim_matches([' ', '\t', '\n'])
        .parse()
        .map_err(|_| format!("{word}: integer expression expected"))
}

async fn unary<H: Host>(
    operator: &str,
    word: &str,
    session: &Session,
    host: &mut H,
) -> Result<bool, String> {
    match operator {
        "-n" => return Ok(!word.is_empty()),
        "-z" => return Ok(word.is_empty()),
        "-e" | "-f" | "-d" if word.is_empty() => return Ok(false),
        "-e" | "-f" | "-d" => {}
        _ => return Err(format!("{operator}: unary operator expected")),
    }
    let kind = host.kind(&resolve(&session.directory, word)).await;
    Ok(match operator {
        "-f" => kind == Some(FileKind::File),
        "-d" => kind == Some(FileKind::Directory),
        _ => kind.is_some(),
    })
}
