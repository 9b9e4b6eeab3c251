//! `dyno.toml`: what an operator may set, its defaults, and an error for every key that is none.

mod egress;
mod sizes;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use egress::{AppEgressSettings, EgressSettings};
use serde::Deserialize;
pub use sizes::SizesSettings;

/// A settings file is small; more is a mistake.
const SETTINGS_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that `dyno.toml` may hold. Every key has a default, so the file may be absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[account]`: the one account of this installation.
    pub account: AccountSettings,
    /// `[router]`: the edge.
    pub router: RouterSettings,
    /// `[build]`: the slug compiler.
    pub build: BuildSettings,
    /// `[runtime]`: where dynos run.
    pub runtime: RuntimeSettings,
    /// `[egress]`: what dynos may reach beside the public internet.
    pub egress: EgressSettings,
    /// `[sizes.NAME]`: what dynos of a size may use.
    pub sizes: SizesSettings,
}

/// `[account]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// Shown by `heroku auth:whoami` and in the log. Default `owner@localhost`.
    pub email: String,
}

/// `[router]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterSettings {
    /// `[router.timeouts]`, as the router documents them.
    pub timeouts: dyno_router::Timeouts,
    /// `[router.limits]`, as the router documents them.
    pub limits: dyno_router::Limits,
    /// Threads that serve connections, at least 1. Default: one for each processor.
    pub threads: Option<usize>,
}

/// `[build]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildSettings {
    /// Builds that run at the same time. Default 2, at least 1.
    pub concurrency: usize,
    /// Where toolchains are kept. Default: `toolchains` in the data directory.
    pub toolchain_dir: Option<PathBuf>,
}

/// `[runtime]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Instances that may exist at the same time. Default: the runtime's.
    pub instance_slots_max: Option<u32>,
    /// Threads for guest code that runs long. Default: the runtime's.
    pub guest_threads: Option<usize>,
    /// Seconds without a request after which a web dyno drops its instances. Default: the runtime's, a minute.
    pub idle_after_seconds: Option<u64>,
    /// Bytes of memory that the whole process may use for itself; at it dynos at rest are not woken (H11). Default: no
    /// bound.
    pub memory_bytes_max: Option<u64>,
    /// Bytes of compiled code and boot images on disk. Default: the runtime's, 4 GiB.
    pub code_cache_bytes_max: Option<u64>,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self {
            email: "owner@localhost".to_owned(),
        }
    }
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            concurrency: 2,
            toolchain_dir: None,
        }
    }
}

/// Why a settings file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It cannot be read.
    #[error("the settings file {} cannot be read", .path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key or value that means nothing.
    #[error("the settings file {} is not valid\n{reason}", .path.display())]
    Invalid {
        /// Its path.
        path: PathBuf,
        /// Line, key and what is wrong, as the parser says it.
        reason: String,
    },
}

impl Settings {
    /// Reads a file that must exist.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let failed = |source| SettingsError::Read {
            path: path.to_owned(),
            source,
        };
        let size = fs::metadata(path).map_err(failed)?.len();
        if size > SETTINGS_BYTES_MAX {
            let reason = format!("it has {size} bytes; settings have at most {SETTINGS_BYTES_MAX}");
            return Err(SettingsError::Invalid {
                path: path.to_owned(),
                reason,
            });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text, path)
    }

    /// Reads a file, or answers the defaults when there is none.
    pub fn read_if_present(path: &Path) -> Result<Self, SettingsError> {
        match Self::read(path) {
            Err(SettingsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            result => result,
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let invalid = |reason| SettingsError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let settings: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if settings.build.concurrency == 0 {
            return Err(invalid("build.concurrency must be at least 1".to_owned()));
        }
        if settings.router.threads == Some(0) {
            return Err(invalid("router.threads must be at least 1".to_owned()));
        }
        if settings.account.email.is_empty() || settings.account.email.chars().any(char::is_control)
        {
            return Err(invalid("account.email must be a line of text".to_owned()));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::Settings;

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(
            Settings::parse("", Path::new("dyno.toml")).expect("valid"),
            Settings::default()
        );
    }

    #[test]
    fn router_timeouts_are_set_by_key() {
        let text = "[router.timeouts]\nfirst_byte = 2\nidle = \"500ms\"\n";
        let settings = Settings::parse(text, Path::new("dyno.toml")).expect("valid");
        assert_eq!(settings.router.timeouts.first_byte, Duration::from_secs(2));
        assert_eq!(settings.router.timeouts.idle, Duration::from_millis(500));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_key_and_file() {
        let error = Settings::parse("[router]\ntimeout = 3\n", Path::new("/etc/dyno.toml"))
            .expect_err("refused");
        let text = error.to_string();
        assert!(
            text.contains("/etc/dyno.toml") && text.contains("timeout"),
            "{text}"
        );
    }

    #[test]
    fn a_router_without_threads_is_refused() {
        let error = Settings::parse("[router]\nthreads = 0\n", Path::new("dyno.toml"))
            .expect_err("refused");
        assert!(error.to_string().contains("router.threads"), "{error}");
    }

    #[test]
    fn a_missing_file_is_the_defaults_only_when_it_may_be_missing() {
        let path = Path::new("/nonexistent/dyno.toml");
        assert_eq!(
            Settings::read_if_present(path).expect("absent"),
            Settings::default()
        );
        assert!(Settings::read(path).is_err());
    }
}
