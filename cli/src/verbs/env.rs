//! `dyno env`: lines for a shell, so that other clients find the platform.

use std::process::ExitCode;

use clap::Args;

use super::config::quoted;
use crate::say;
use crate::target::PlatformChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    platform: PlatformChoice,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let api = arguments.platform.api()?;
    let export = |name: &str, value: &str| say::line(format!("export {name}={}", quoted(value)));
    export("DYNO_API", api.base());
    export("DYNO_API_KEY", api.key());
    if is_accepted_by_heroku(api.base()) {
        export("HEROKU_HOST", api.base());
        export("HEROKU_API_KEY", api.key());
        // What that client would otherwise ask elsewhere.
        for name in [
            "HEROKU_PARTICLEBOARD_URL",
            "HEROKU_STATUS_HOST",
            "HEROKU_LOGIN_HOST",
        ] {
            export(name, api.base());
        }
        for (name, value) in [
            ("DISABLE_TELEMETRY", "true"),
            ("HEROKU_SKIP_ANALYTICS", "1"),
            ("HEROKU_DISABLE_AUTOUPDATE", "1"),
            ("HEROKU_SKIP_NEW_VERSION_CHECK", "true"),
        ] {
            export(name, value);
        }
    } else {
        say::error_line(
            "The Heroku CLI sends its token to localhost and 127.0.0.1 only; reach this platform through a tunnel for it.",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// With any other host that client would send its user's commands to the real heroku.com.
fn is_accepted_by_heroku(base: &str) -> bool {
    let host = base.strip_prefix("http://").unwrap_or(base);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::is_accepted_by_heroku;

    #[test]
    fn only_loopback_by_its_common_names_is_given_to_the_heroku_cli() {
        assert!(is_accepted_by_heroku("http://127.0.0.1:8080"));
        assert!(is_accepted_by_heroku("http://localhost:8080"));
        assert!(!is_accepted_by_heroku("http://10.0.0.5:8080"));
        assert!(!is_accepted_by_heroku("http://[::1]:8080"));
    }
}
