//! The one git setting: which authority vouches for the platform's address.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::authority::{Authority, FOR_GIT};
use crate::failure::Hint;
use crate::places::shown;

/// `http.https://127.0.0.1:8080/.sslCAInfo`, for the address of an API.
pub fn name(api: &str) -> String {
    let address = api.trim_start_matches("http://").trim_end_matches('/');
    // The CLI makes remotes with https, whatever the address of the API begins with.
    format!("http.https://{address}/.sslCAInfo")
}

/// What it is set to for this user, anywhere.
pub fn read(name: &str) -> anyhow::Result<Option<String>> {
    let output = git()
        .args(["config", "--global", "--get", name])
        .output()
        .map_err(missing)?;
    // git answers 1 when it is not set.
    let value = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((output.status.success() && !value.is_empty()).then_some(value))
}

/// Sets it for this user.
pub fn write(name: &str, certificate: &Path) -> anyhow::Result<()> {
    let output = git()
        .args(["config", "--global", "--replace-all", name])
        .arg(certificate)
        .output()
        .map_err(missing)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(anyhow::anyhow!(said)).context("git did not take the setting");
    }
    Ok(())
}

fn git() -> Command {
    Command::new("git")
}

fn missing(error: std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Hint::new("there is no git", "install it from your system's packages").into();
    }
    anyhow::Error::from(error).context("git could not be started")
}

/// An exported variable wins over the setting, and git then never looks at it.
pub fn refuse_override(authority: &Authority) -> anyhow::Result<()> {
    match FOR_GIT.value() {
        Some(path) if !authority.is_in(&FOR_GIT) => bail!(Hint::new(
            format!(
                "{} is set to {}, and git uses it instead of the setting",
                FOR_GIT.name,
                shown(&path)
            ),
            "eval \"$(dyno env)\" sets it to a file that has both"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn the_setting_is_for_https_at_the_address_of_the_api() {
        assert_eq!(
            name("http://127.0.0.1:8080"),
            "http.https://127.0.0.1:8080/.sslCAInfo"
        );
    }
}
