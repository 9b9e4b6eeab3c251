//! `dyno config`: the config vars of an app.

use std::process::ExitCode;

use clap::Args;

use crate::api::ConfigVars;
use crate::target::AppChoice;
use crate::{columns, say};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Print lines a shell can read
    #[arg(short, long)]
    shell: bool,
    /// Print JSON
    #[arg(short, long, conflicts_with = "shell")]
    json: bool,
    #[command(flatten)]
    app: AppChoice,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = arguments.app.find().await?;
    let vars: ConfigVars = target.api.get(&target.path("/config-vars")).await?;
    if arguments.json {
        say::line(serde_json::to_string_pretty(&vars)?);
    } else if arguments.shell {
        for (name, value) in &vars {
            say::line(format!("{name}={}", quoted(value)));
        }
    } else {
        say::heading(format!("{} Config Vars", target.app.name));
        print(vars);
    }
    Ok(ExitCode::SUCCESS)
}

/// `NAME: value`, aligned.
pub fn print(vars: impl IntoIterator<Item = (String, String)>) {
    let pairs: Vec<_> = vars
        .into_iter()
        .map(|(name, value)| (name, say::terminal_safe(&value).into_owned()))
        .collect();
    columns::print_pairs(&pairs);
}

/// A value as one word of a shell.
pub fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_value_is_one_word_of_a_shell() {
        assert_eq!(
            quoted("postgres://u:p@localhost/db"),
            "postgres://u:p@localhost/db"
        );
        assert_eq!(quoted("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
