//! The environment of a build's scripts: ours, and what package managers need to reach their registries.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Variables that are passed on as they are.
const PASSED: &[&str] = &[
    "PATH",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPROXY",
    "GOFLAGS",
    "GOENV",
    "GOPRIVATE",
    "GONOPROXY",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GOSUMDB",
    "GOINSECURE",
    "GOTOOLCHAIN",
    "JAVA_HOME",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// Beginnings of names that are passed on, without regard to case.
///
/// `CARGO_` alone would also pass what cargo tells the programs it runs, and `CARGO_TARGET_DIR`,
/// which would send an app's build products somewhere else.
const PASSED_PREFIXES: &[&str] = &[
    "PIP_",
    "UV_",
    "NPM_CONFIG_",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_SOURCE_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CURL_",
];

/// Configuration files that tools look for in the home directory, which is a private one in a
/// build: the variable that names each, and where it usually is.
const HOME_FILES: &[(&str, &str)] = &[
    ("CARGO_HOME", ".cargo"),
    ("RUSTUP_HOME", ".rustup"),
    ("npm_config_userconfig", ".npmrc"),
    ("PIP_CONFIG_FILE", ".config/pip/pip.conf"),
    ("GOENV", ".config/go/env"),
];

/// Where a build's scripts find things.
pub(crate) struct Places<'a> {
    pub(crate) dyno_executable: &'a Path,
    pub(crate) toolchain_directory: &'a Path,
    pub(crate) buildpack_directory: &'a Path,
    pub(crate) wit_directory: &'a Path,
    pub(crate) home: &'a Path,
    pub(crate) temporary: &'a Path,
}

/// The whole environment of a script.
pub(crate) fn environment(
    places: &Places<'_>,
    ours: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut real_home = None;
    for (name, value) in ours {
        if name == "HOME" {
            real_home = Some(value);
        } else if is_passed(&name) {
            environment.insert(name, value);
        }
    }
    if let Some(home) = real_home {
        for (variable, path) in HOME_FILES {
            let path = Path::new(&home).join(path);
            let is_set = environment
                .keys()
                .any(|name| name.eq_ignore_ascii_case(variable));
            if !is_set && path.exists() {
                environment.insert(variable.into(), path.into());
            }
        }
    }
    for (name, value) in [
        ("DYNO", places.dyno_executable.as_os_str()),
        ("DYNO_TOOLCHAIN_DIR", places.toolchain_directory.as_os_str()),
        ("DYNO_BUILDPACK_DIR", places.buildpack_directory.as_os_str()),
        ("DYNO_WIT_DIR", places.wit_directory.as_os_str()),
        ("HOME", places.home.as_os_str()),
        ("TMPDIR", places.temporary.as_os_str()),
        ("LANG", OsStr::new("C.UTF-8")),
        ("STACK", OsStr::new(dyno_slug::STACK)),
        ("SOURCE_DATE_EPOCH", OsStr::new("0")),
    ] {
        environment.insert(name.into(), value.to_owned());
    }
    environment
}

fn is_passed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    // A publishing token is of no use to a build, and a build is somebody else's code.
    let upper = name.to_ascii_uppercase();
    if upper.ends_with("TOKEN") {
        return false;
    }
    PASSED.contains(&upper.as_str()) && (name == upper || upper.ends_with("PROXY"))
        || PASSED_PREFIXES
            .iter()
            .any(|prefix| upper.starts_with(prefix))
        || upper.contains("_CERT_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made(ours: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let places = Places {
            dyno_executable: Path::new("/bin/dyno"),
            toolchain_directory: Path::new("/toolchains"),
            buildpack_directory: Path::new("/packs/python"),
            wit_directory: Path::new("/wit"),
            home: Path::new("/private/home"),
            temporary: Path::new("/private/tmp"),
        };
        environment(
            &places,
            ours.iter().map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn registries_settings_pass_and_secrets_do_not() {
        let made = made(&[
            ("PATH", "/bin"),
            ("https_proxy", "http://proxy"),
            ("npm_config_registry", "x"),
            ("PIP_INDEX_URL", "x"),
            ("CARGO_NET_OFFLINE", "true"),
            ("CARGO_TARGET_DIR", "/elsewhere"),
            ("CARGO_MANIFEST_DIR", "/ours"),
            ("CARGO_REGISTRY_TOKEN", "secret"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("DATABASE_URL", "secret"),
            ("SSL_CERT_FILE", "/certs"),
        ]);
        for name in [
            "PATH",
            "https_proxy",
            "npm_config_registry",
            "PIP_INDEX_URL",
            "CARGO_NET_OFFLINE",
            "SSL_CERT_FILE",
        ] {
            assert!(made.contains_key(OsStr::new(name)), "{name} is missing");
        }
        for name in [
            "CARGO_TARGET_DIR",
            "CARGO_MANIFEST_DIR",
            "CARGO_REGISTRY_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "DATABASE_URL",
        ] {
            assert!(
                !made.contains_key(OsStr::new(name)),
                "{name} reached the build"
            );
        }
    }

    #[test]
    fn home_is_private_but_its_tool_settings_are_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".cargo")).unwrap();
        let made = made(&[("HOME", home.path().to_str().unwrap())]);
        assert_eq!(made[OsStr::new("HOME")], "/private/home");
        assert_eq!(
            made[OsStr::new("CARGO_HOME")],
            home.path().join(".cargo").as_os_str()
        );
        assert!(
            !made.contains_key(OsStr::new("npm_config_userconfig")),
            "there is no such file"
        );
    }
}
