//! Finds the programs that builds and tests call, and installs those that Debian has.

use anyhow::{Context, bail};
use std::env;
use std::path::Path;
use std::process::Command;

/// A program, the Debian package that brings it, and what needs it.
struct Tool {
    program: &'static str,
    package: Option<&'static str>,
    why: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool {
        program: "bash",
        package: Some("bash"),
        why: "buildpacks are bash scripts",
    },
    Tool {
        program: "flock",
        package: Some("util-linux"),
        why: "buildpacks lock their toolchains with it",
    },
    Tool {
        program: "git",
        package: Some("git"),
        why: "deploys are pushes",
    },
    Tool {
        program: "cc",
        package: Some("gcc"),
        why: "SQLite and zstd are compiled with it",
    },
    Tool {
        program: "curl",
        package: Some("curl"),
        why: "tests request apps as a user would",
    },
    Tool {
        program: "python3",
        package: Some("python3"),
        why: "the Python buildpack runs on it",
    },
    Tool {
        program: "node",
        package: Some("nodejs"),
        why: "the Node.js buildpack runs on it",
    },
    Tool {
        program: "npm",
        package: Some("npm"),
        why: "the Node.js buildpack fetches packages with it",
    },
    // Debian's Go is older than what the buildpack patches.
    Tool {
        program: "go",
        package: None,
        why: "the Go buildpack compiles with it (1.26)",
    },
];

/// Installs what is missing; fails with the list of what cannot be installed.
pub fn install_missing() -> anyhow::Result<()> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !on_path(tool.program)).collect();
    let packages: Vec<&str> = missing.iter().filter_map(|tool| tool.package).collect();
    if !packages.is_empty() {
        install(&packages)?;
    }
    let absent: Vec<String> = missing
        .iter()
        .filter(|tool| !on_path(tool.program))
        .map(|tool| format!("  {}: {}", tool.program, tool.why))
        .collect();
    if !absent.is_empty() {
        bail!(
            "these programs are needed and not on the PATH; please install them:\n{}",
            absent.join("\n")
        );
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|directory| is_program(&directory.join(program)))
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !on_path("apt-get") {
        bail!(
            "these packages are needed: {list}\nhint: install them with your system's package manager"
        );
    }
    eprintln!("installing {list} with apt-get");
    for arguments in [
        vec!["update", "-qq"],
        [
            &["install", "-y", "-qq", "--no-install-recommends"],
            packages,
        ]
        .concat(),
    ] {
        let status = Command::new("apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("apt-get could not be started")?;
        if !status.success() {
            bail!(
                "apt-get {} failed\nhint: run `apt-get install {list}` as root",
                arguments.join(" ")
            );
        }
    }
    Ok(())
}
