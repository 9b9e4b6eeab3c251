//! What is looked at, one function for each thing.

use std::env;
use std::fs;
use std::net::ToSocketAddrs as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use dyno_platform::Settings;
use tokio::process::Command;

use super::Finding::{self, Bad, Doubtful, Good};
use crate::api::{Account, Api};
use crate::authority::{Authority, FOR_GIT, FOR_NODE};
use crate::places::{DataDir, shown};
use crate::{git_setting, say};

/// The Heroku CLI takes a second or two to start; a program that says nothing for longer is not asked again.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(30);
/// The major version of the Heroku CLI that this version was tested with.
const HEROKU_CLI_TESTED: u32 = 11;
/// `http.<url>.sslCAInfo` by address is older; push options and protocol 2 are from here.
const GIT_OLDEST: (u32, u32) = (2, 18);

/// Everything, in the order in which a deploy needs it.
pub(super) async fn all(data_dir: &DataDir) -> anyhow::Result<Vec<(&'static str, Finding)>> {
    let directory = data_dir.path()?;
    let mut findings = vec![("data dir", data_directory(&directory))];
    let api = Api::find(data_dir);
    findings.push(("platform", platform(&api).await));
    if let Ok(api) = &api {
        let authority = Authority::of(api, data_dir)?;
        findings.push(("certificate", certificate(&directory, authority.as_ref())));
        findings.push(("environment", environment(api, authority.as_ref())));
        findings.push(("git", git(api, authority.as_ref()).await));
    }
    findings.push(("heroku CLI", heroku_cli().await));
    findings.push(("names", names()));
    findings.push(("toolchains", toolchains(&directory)));
    findings.extend(
        dyno_runtime::system_advice(&runtime_options(&directory))
            .into_iter()
            .map(|advice| ("limits", limit(&advice))),
    );
    if !findings.iter().any(|(name, _)| *name == "limits") {
        let enough = "open files and memory maps are enough".to_owned();
        findings.push(("limits", Good(enough)));
    }
    Ok(findings)
}

fn data_directory(directory: &Path) -> Finding {
    match fs::metadata(directory) {
        // Its key files are private on their own.
        Ok(metadata) if !is_private(&metadata) => Doubtful {
            what: format!("{} can be entered by others", shown(directory)),
            mend: format!("chmod 700 {}", shown(directory)),
        },
        Ok(_) => Good(shown(directory)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Doubtful {
            what: format!("there is no {} yet", shown(directory)),
            mend: "dyno serve makes it".to_owned(),
        },
        Err(error) => Bad {
            what: format!("{} cannot be looked at: {error}", shown(directory)),
            mend: "run this as the platform's user".to_owned(),
        },
    }
}

fn is_private(metadata: &fs::Metadata) -> bool {
    let others = 0o077;
    metadata.permissions().mode() & others == 0
}

async fn platform(api: &anyhow::Result<Api>) -> Finding {
    let api = match api {
        Ok(api) => api,
        Err(error) => {
            return Bad {
                what: first_line(&error.to_string()),
                mend: "dyno serve".to_owned(),
            };
        }
    };
    match api.get::<Account>("/account").await {
        Ok(account) => Good(format!("{} answers, as {}", api.base(), account.email)),
        Err(error) => Bad {
            what: format!(
                "{} does not answer: {}",
                api.base(),
                first_line(&format!("{error:#}"))
            ),
            mend:
                "dyno serve; or unset DYNO_API and DYNO_API_KEY when they are of another platform"
                    .to_owned(),
        },
    }
}

fn certificate(directory: &Path, authority: Option<&Authority>) -> Finding {
    let Some(authority) = authority else {
        return Doubtful {
            what: "the platform's certificate is not on this machine".to_owned(),
            mend: "copy ca.pem from its data directory, for NODE_EXTRA_CA_CERTS and git".to_owned(),
        };
    };
    let key = directory.join("ca.key");
    match fs::metadata(&key) {
        Ok(metadata) if !is_private(&metadata) => Bad {
            what: format!("{} can be read by others", shown(&key)),
            mend: format!("chmod 600 {}", shown(&key)),
        },
        _ => Good(shown(&authority.certificate())),
    }
}

fn environment(api: &Api, authority: Option<&Authority>) -> Finding {
    let mend = "eval \"$(dyno env)\"".to_owned();
    let set = |name: &str| env::var(name).unwrap_or_default();
    if set("HEROKU_HOST") != api.base() {
        let now = set("HEROKU_HOST");
        let now = if now.is_empty() {
            "not set".to_owned()
        } else {
            now
        };
        return Doubtful {
            what: format!("HEROKU_HOST is {now}: the Heroku CLI talks to another platform"),
            mend,
        };
    }
    if set("HEROKU_API_KEY") != api.key() {
        let what = "HEROKU_API_KEY is not this platform's key".to_owned();
        return Doubtful { what, mend };
    }
    if authority.is_none_or(|authority| authority.is_in(&FOR_NODE)) {
        Good("the Heroku CLI finds this platform".to_owned())
    } else {
        let what = "NODE_EXTRA_CA_CERTS does not have the certificate: heroku run fails";
        Doubtful {
            what: what.to_owned(),
            mend,
        }
    }
}

async fn git(api: &Api, authority: Option<&Authority>) -> Finding {
    let Some(said) = program("git", &["--version"]).await else {
        return Bad {
            what: "there is no git".to_owned(),
            mend: "install it from your system's packages".to_owned(),
        };
    };
    let version = said.trim_start_matches("git version ").to_owned();
    if numbers(&version).is_none_or(|found| found < GIT_OLDEST) {
        let (major, minor) = GIT_OLDEST;
        return Doubtful {
            what: format!("git {version} is older than {major}.{minor}"),
            mend: "install a newer one".to_owned(),
        };
    }
    let Some(authority) = authority else {
        return Good(format!("git {version}"));
    };
    if let Err(error) = git_setting::refuse_override(authority) {
        return Doubtful {
            what: first_line(&error.to_string()),
            mend: "eval \"$(dyno env)\"".to_owned(),
        };
    }
    let wanted = shown(&authority.certificate());
    let set = git_setting::read(&git_setting::name(api.base())).unwrap_or(None);
    if FOR_GIT.value().is_none() && set != Some(wanted) {
        return Doubtful {
            what: format!("git {version} does not trust the platform"),
            mend: "dyno setup git".to_owned(),
        };
    }
    Good(format!("git {version} trusts the platform"))
}

async fn heroku_cli() -> Finding {
    let install = "npm install --global heroku".to_owned();
    let Some(said) = program("heroku", &["--version"]).await else {
        return Doubtful {
            what: "there is no heroku command; dyno has most verbs of its own".to_owned(),
            mend: install,
        };
    };
    // `heroku/11.10.0 linux-x64 node-v22.12.0`
    let version = said
        .split_whitespace()
        .find_map(|word| word.strip_prefix("heroku/"));
    match version.and_then(numbers) {
        Some((major, _)) if major == HEROKU_CLI_TESTED => Good(said),
        _ => Doubtful {
            what: format!("{said}; tested is version {HEROKU_CLI_TESTED}"),
            mend: format!("{install}@{HEROKU_CLI_TESTED}"),
        },
    }
}

/// Browsers and curl take names below localhost for this machine by themselves; other programs ask the system.
fn names() -> Finding {
    let resolves = |name: &str| {
        (name, 80)
            .to_socket_addrs()
            .is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
    };
    if !resolves("localhost") {
        return Bad {
            what: "localhost is not this machine".to_owned(),
            mend: "add to /etc/hosts: 127.0.0.1 localhost".to_owned(),
        };
    }
    if resolves("app.localhost") {
        Good("APP.localhost is this machine".to_owned())
    } else {
        Doubtful {
            what: "APP.localhost is resolved by browsers and curl only".to_owned(),
            mend: "for other programs add to /etc/hosts: 127.0.0.1 APP.localhost".to_owned(),
        }
    }
}

fn toolchains(directory: &Path) -> Finding {
    let settings = Settings::read_if_present(&directory.join("dyno.toml"));
    let folder = match settings {
        Ok(settings) => settings.build.toolchain_dir,
        Err(error) => {
            return Bad {
                what: first_line(&error.to_string()),
                mend: "correct the file".to_owned(),
            };
        }
    };
    let folder = folder.unwrap_or_else(|| directory.join("toolchains"));
    let mut found: Vec<&str> = ["python", "nodejs", "go", "rust"]
        .into_iter()
        .filter(|language| has_toolchain(&folder, language))
        .collect();
    // These two need none.
    found.extend(["static", "wasm"]);
    let missing: Vec<String> = [
        ("python", "python3", "python"),
        ("nodejs", "npm", "nodejs"),
        ("go", "python3", "go"),
        ("rust", "rustup", "rust"),
    ]
    .into_iter()
    .filter(|(language, program, _)| !found.contains(language) && !is_on_path(program))
    .map(|(_, program, language)| format!("{program} (for {language})"))
    .collect();
    if found.len() == 6 {
        Good(format!("ready: {}", found.join(", ")))
    } else if missing.is_empty() {
        Good(format!(
            "ready: {}; the others are fetched by their first build",
            found.join(", ")
        ))
    } else {
        Doubtful {
            what: format!("ready: {}; the others cannot be fetched", found.join(", ")),
            mend: format!("install {}", missing.join(", ")),
        }
    }
}

fn has_toolchain(folder: &Path, language: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        entry.path().is_dir() && name.split('-').next() == Some(language)
    })
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn runtime_options(directory: &Path) -> dyno_runtime::RuntimeOptions {
    let mut options = dyno_runtime::RuntimeOptions::new(directory.join("runtime"));
    let settings = Settings::read_if_present(&directory.join("dyno.toml")).unwrap_or_default();
    if let Some(slots) = settings.runtime.instance_slots_max {
        options.instance_slots_max = slots;
    }
    options
}

/// `vm.max_map_count is …\n  hint: sysctl -w …`
fn limit(advice: &str) -> Finding {
    let (what, mend) = advice.split_once("hint:").unwrap_or((advice, ""));
    Doubtful {
        what: what.trim().to_owned(),
        mend: mend.trim().to_owned(),
    }
}

/// What a program says on standard output; `None` when there is none, or it fails.
async fn program(name: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(name);
    command
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        // Asked for its version, it must not begin to update itself.
        .env("HEROKU_DISABLE_AUTOUPDATE", "1")
        .env("HEROKU_SKIP_NEW_VERSION_CHECK", "true")
        .env("DISABLE_TELEMETRY", "true");
    let output = tokio::time::timeout(PROGRAM_PATIENCE, command.output());
    let output = output.await.ok()?.ok()?;
    let said = first_line(&String::from_utf8_lossy(&output.stdout));
    (output.status.success() && !said.is_empty()).then_some(said)
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    say::terminal_safe(line).into_owned()
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Finding, limit, numbers};

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        assert_eq!(numbers("2.47.3"), Some((2, 47)));
        assert_eq!(numbers("11.10.0"), Some((11, 10)));
        assert_eq!(numbers("2.39 (Apple Git-1)"), Some((2, 39)));
        assert_eq!(numbers("unknown"), None);
    }

    #[test]
    fn advice_of_the_runtime_is_what_is_short_and_how_to_raise_it() {
        let expected = Finding::Doubtful {
            what: "500 files may be open".to_owned(),
            mend: "ulimit -n 9000".to_owned(),
        };
        assert_eq!(
            limit("500 files may be open\n  hint: ulimit -n 9000"),
            expected
        );
    }
}
