//! `Scaling dynos... done, now running web at 2:Basic`: something that takes a moment, as Heroku shows it.

use std::fmt::Display;
use std::future::Future;

use console::Style;

use crate::say;

/// Runs `work` behind `title`; what it answers besides its value is shown after `done`.
pub async fn action<T, D: Display>(
    title: impl Display,
    work: impl Future<Output = anyhow::Result<(T, D)>>,
) -> anyhow::Result<T> {
    say::error_part(&format!("{title}... "));
    match work.await {
        Ok((value, detail)) => {
            let detail = detail.to_string();
            let separator = if detail.is_empty() { "" } else { ", " };
            say::error_line(&format!("done{separator}{detail}"));
            Ok(value)
        }
        Err(error) => {
            let failed = Style::new().for_stderr().red().apply_to('!');
            say::error_line(&failed.to_string());
            Err(error)
        }
    }
}
