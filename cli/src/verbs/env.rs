//! `dyno env`: lines for a shell, so that other clients find the platform.

use std::process::ExitCode;

use clap::Args;

use super::config::quoted;
use crate::authority::{Authority, FOR_GIT, FOR_NODE};
use crate::places::DataDir;
use crate::say;
use crate::{api::Api, places::shown};

/// For a shell: eval "$(dyno env)"
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let api = Api::find(&arguments.data_dir)?;
    let mut variables = vec![
        ("DYNO_API", api.base().to_owned()),
        ("DYNO_API_KEY", api.key().to_owned()),
    ];
    match host_for_heroku(api.base()) {
        Some(host) => {
            variables.extend(for_heroku(&api, host));
            variables.extend(for_tls(&api, &arguments.data_dir)?);
        }
        None => say::error_line(
            "The Heroku CLI sends its token to localhost and 127.0.0.1 only; reach this platform through a tunnel for it.",
        ),
    }
    for (name, value) in variables {
        say::line(format!("export {name}={}", quoted(&value)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the Heroku CLI reads: where to ask, instead of at Heroku's own hosts, and to be quiet about itself.
fn for_heroku(api: &Api, host: &str) -> Vec<(&'static str, String)> {
    let mut variables = vec![("HEROKU_API_KEY", api.key().to_owned())];
    for name in [
        "HEROKU_HOST",
        "HEROKU_PARTICLEBOARD_URL",
        "HEROKU_BUILDPACK_REGISTRY_URL",
        "HEROKU_LOGIN_HOST",
        "HEROKU_STATUS_HOST",
    ] {
        variables.push((name, api.base().to_owned()));
    }
    // A bare name: with a port in it that client cannot resolve it.
    variables.push(("HEROKU_DATA_HOST", host.to_owned()));
    for (name, value) in [
        ("DISABLE_TELEMETRY", "true"),
        ("HEROKU_SKIP_ANALYTICS", "1"),
        ("HEROKU_DISABLE_AUTOUPDATE", "1"),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", "true"),
    ] {
        variables.push((name, value.to_owned()));
    }
    variables
}

/// `heroku run` and `git push` speak TLS, and have to trust the platform.
fn for_tls(api: &Api, data_dir: &DataDir) -> anyhow::Result<Vec<(&'static str, String)>> {
    let Some(authority) = Authority::of(api, data_dir)? else {
        say::error_line(
            "This platform's certificate is not on this machine: heroku run and git push have to be told of it (ca.pem in its data directory).",
        );
        return Ok(Vec::new());
    };
    let mut variables = vec![(FOR_NODE.name, shown(&authority.file_for(&FOR_NODE)?))];
    // Where it is not set, git reads its setting (dyno setup git).
    if FOR_GIT.value().is_some() {
        variables.push((FOR_GIT.name, shown(&authority.file_for(&FOR_GIT)?)));
    }
    Ok(variables)
}

/// The host, if that client shows it its key. With any other it would send its user's commands to the real
/// heroku.com.
fn host_for_heroku(base: &str) -> Option<&str> {
    let host = base.strip_prefix("http://").unwrap_or(base);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1").then_some(host)
}

#[cfg(test)]
mod tests {
    use super::{for_heroku, host_for_heroku};
    use crate::api::Api;

    #[test]
    fn only_loopback_by_its_common_names_is_given_to_the_heroku_cli() {
        assert_eq!(host_for_heroku("http://127.0.0.1:8080"), Some("127.0.0.1"));
        assert_eq!(host_for_heroku("http://localhost:8080"), Some("localhost"));
        assert_eq!(host_for_heroku("http://10.0.0.5:8080"), None);
        assert_eq!(host_for_heroku("http://[::1]:8080"), None);
    }

    #[test]
    fn the_data_host_has_no_port_and_all_others_are_addresses() {
        let api = Api::new("http://127.0.0.1:8080", "HRKU-1").unwrap();
        let variables = for_heroku(&api, "127.0.0.1");
        for (name, value) in variables {
            match name {
                "HEROKU_DATA_HOST" => assert_eq!(value, "127.0.0.1"),
                "HEROKU_API_KEY" => assert_eq!(value, "HRKU-1"),
                name if name.ends_with("_HOST") || name.ends_with("_URL") => {
                    assert_eq!(value, "http://127.0.0.1:8080");
                }
                _ => {}
            }
        }
    }
}
