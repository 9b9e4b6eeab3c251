//! What builds and tests need from the machine; what is missing is installed where apt can.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::command;

/// A program, or something else that a command tells the presence of.
struct Need {
    what: &'static str,
    /// Succeeds when it is there.
    check: &'static [&'static str],
    /// The Debian package that has it; `None` where the distribution's is too old to be of use.
    package: Option<&'static str>,
    why: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        check: &["cc", "--version"],
        package: Some("gcc"),
        why: "SQLite, zstd and ring are C",
    },
    Need {
        what: "the C library's headers",
        check: &[
            "sh",
            "-c",
            "echo '#include <stdlib.h>' | cc -E - >/dev/null",
        ],
        package: Some("libc6-dev"),
        why: "SQLite, zstd and ring are C",
    },
    Need {
        what: "git",
        check: &["git", "--version"],
        package: Some("git"),
        why: "Go and npm fetch with it",
    },
    Need {
        what: "flock",
        check: &["flock", "--version"],
        package: Some("util-linux"),
        why: "builds share their toolchains under a lock",
    },
    Need {
        what: "Python 3.11 or later with venv and pip",
        check: &[
            "python3",
            "-c",
            "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))",
        ],
        package: Some("python3-venv"),
        why: "the Python buildpack, and wheels of other toolchains",
    },
    Need {
        what: "Node 20 or later",
        check: &[
            "node",
            "-e",
            "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)",
        ],
        package: None,
        why: "the Node.js buildpack",
    },
    Need {
        what: "npm",
        check: &["npm", "--version"],
        package: None,
        why: "the Node.js buildpack",
    },
    Need {
        what: "Go",
        check: &["go", "version"],
        package: None,
        why: "the Go buildpack",
    },
    Need {
        what: "dpkg-deb",
        check: &["dpkg-deb", "--version"],
        package: Some("dpkg"),
        why: "the Rust buildpack unpacks Debian's toolchain with it",
    },
];

/// Installs what is missing and can be; names what is missing and cannot.
pub fn run() -> anyhow::Result<()> {
    let missing = missing();
    let packages: Vec<_> = missing.iter().filter_map(|need| need.package).collect();
    if !packages.is_empty() && is_there(&["apt-get", "--version"]) {
        let mut update = apt("update");
        let mut install = apt("install");
        install
            .args(["-y", "--no-install-recommends"])
            .args(packages);
        command::run(&mut update)?;
        command::run(&mut install)?;
    }
    let missing: Vec<String> = self::missing().into_iter().map(described).collect();
    if !missing.is_empty() {
        bail!(
            "this machine has not what is needed:\n{}",
            missing.join("\n")
        );
    }
    Ok(())
}

fn described(need: &Need) -> String {
    let way = match need.package {
        Some(package) => format!("hint: apt-get install {package}"),
        None => "hint: install it as its own project says, and put it in PATH".to_owned(),
    };
    format!("  {} ({})\n    {way}", need.what, need.why)
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !is_there(need.check)).collect()
}

fn is_there(check: &[&str]) -> bool {
    let Some((program, arguments)) = check.split_first() else {
        return false;
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// apt-get, by sudo for those who are not root.
fn apt(verb: &str) -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
    if !is_root {
        command.arg("apt-get");
    }
    command
        .arg(OsStr::new(verb))
        .args(["-q"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
