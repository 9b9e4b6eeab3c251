//! `dyno exec`: a WebAssembly file in the same sandbox as a dyno, without an app around it.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use dyno_buildpacks::component::{self, AdaptOptions, ComponentKind};
use dyno_runtime::{
    DynoSize, EgressPolicy, ExecSpec, ExitStatus, Mount, MountedTree, Runtime, RuntimeOptions,
    TrustedRoots, exec,
};
use dyno_slug::World;

use crate::failure::Hint;
use crate::places::{self, shown};
use crate::{say, serve_component, signals};

#[derive(Args, Debug)]
pub struct Arguments {
    /// A variable the guest sees; it sees no other
    #[arg(long, value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A directory the guest sees and may change
    #[arg(long, value_name = "HOST::GUEST", value_parser = directory)]
    dir: Vec<(PathBuf, String)>,
    /// What the guest may reach: `public` as a dyno may, or `host` all that this machine may, and itself
    #[arg(long, value_enum, default_value = "public", value_name = "NETWORK")]
    network: Network,
    /// A component, or a core module of WASI preview 1
    file: PathBuf,
    /// Its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    argv: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Network {
    Public,
    Host,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a variable is written NAME=VALUE".to_owned()),
    }
}

fn directory(text: &str) -> Result<(PathBuf, String), String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("a directory is written HOST::GUEST".to_owned());
    }
    Ok((PathBuf::from(host), guest.to_owned()))
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (bytes, world) = read(&arguments.file)?;
    let mut mounts = Vec::with_capacity(arguments.dir.len());
    for (host, guest) in &arguments.dir {
        if !host.is_dir() {
            bail!(Hint::new(
                format!("{} is not a directory", shown(host)),
                "--dir takes HOST::GUEST, where HOST is a directory of this machine"
            ));
        }
        mounts.push(Mount {
            host: MountedTree::Writable(host.clone()),
            guest: guest.clone(),
        });
    }
    let name = arguments
        .file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let first = std::iter::once(name.unwrap_or_else(|| "guest".to_owned()));
    let spec = ExecSpec {
        component: bytes,
        world,
        arguments: first.chain(arguments.argv).collect(),
        environment: arguments.env.into_iter().collect::<BTreeMap<_, _>>(),
        mounts,
        memory_bytes_max: DynoSize::default().memory_bytes_max,
    };
    let state = State::open()?;
    let mut options = RuntimeOptions::new(&state.directory);
    if let Network::Host = arguments.network {
        options.egress = EgressPolicy::host();
    }
    options.trusted_roots = TrustedRoots::from_environment()?;
    let runtime = Runtime::new(options)?;
    if world.is_http() {
        serve_component::serve(&runtime, spec).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = tokio::select! {
        status = exec(&runtime, spec) => status?,
        signal = signals::stop_signal() => return Ok(ExitCode::from(signal.status())),
    };
    match &status {
        ExitStatus::Trapped(reason) => say::error_line(&format!("the guest trapped: {reason}")),
        ExitStatus::NotStarted(reason) => bail!("the guest could not be started: {reason}"),
        _ => {}
    }
    // A status is a byte to the shell: what does not fit must not become success.
    let code = status.code();
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The file as a component, and what it is made for.
fn read(file: &Path) -> anyhow::Result<(Vec<u8>, World)> {
    let unusable = || format!("{} cannot be run", shown(file));
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", shown(file)))?;
    let kind = component::kind(&bytes).with_context(unusable)?;
    if kind == ComponentKind::CoreCommand
        && component::is_preview1(&bytes).with_context(unusable)?
    {
        return Ok((bytes, World::Command));
    }
    let bytes = if kind.is_core() {
        component::adapt(&bytes, &AdaptOptions::default()).with_context(unusable)?
    } else {
        bytes
    };
    let world = match component::kind(&bytes).with_context(unusable)? {
        ComponentKind::Proxy02 => World::HttpProxy,
        ComponentKind::Service03 => World::HttpService,
        ComponentKind::Command02 | ComponentKind::Command03 => World::Command,
        other => bail!(Hint::new(
            format!("{} cannot be run: it is a {other}", shown(file)),
            "a file that runs exports wasi:cli/run, or a handler of wasi:http"
        )),
    };
    let unmet = component::unmet_imports(&bytes).with_context(unusable)?;
    let unmet: Vec<_> = unmet
        .iter()
        .map(|name| component::with_provider(name))
        .collect();
    if !unmet.is_empty() {
        bail!(Hint::new(
            format!(
                "{} imports what dyno does not provide: {}",
                shown(file),
                unmet.join(", ")
            ),
            "dyno provides WASI 0.2 and 0.3 (cli, clocks, filesystem, http, io, random, sockets), wasi:config and \
             wasi:keyvalue"
        ));
    }
    Ok((bytes, world))
}

/// Where compiled code is kept between runs.
///
/// A runtime owns its directory, so of several that run at once the first has the one that is kept, and the others
/// compile for themselves.
struct State {
    directory: PathBuf,
    _lock: Option<File>,
    _temporary: Option<tempfile::TempDir>,
}

impl State {
    fn open() -> anyhow::Result<State> {
        let kept = places::cache()?.join("exec");
        std::fs::create_dir_all(&kept)
            .with_context(|| format!("{} cannot be made", shown(&kept)))?;
        let path = kept.join("lock");
        let lock =
            File::create(&path).with_context(|| format!("{} cannot be made", shown(&path)))?;
        match lock.try_lock() {
            Ok(()) => Ok(State {
                directory: kept,
                _lock: Some(lock),
                _temporary: None,
            }),
            Err(TryLockError::WouldBlock) => {
                let temporary = tempfile::tempdir().context("no temporary directory")?;
                Ok(State {
                    directory: temporary.path().to_owned(),
                    _lock: None,
                    _temporary: Some(temporary),
                })
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", shown(&path)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{directory, variable};

    #[test]
    fn variables_and_directories_are_split_at_their_first_mark() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("=b").is_err() && variable("A").is_err());
        assert_eq!(directory("x::/y"), Ok(("x".into(), "/y".to_owned())));
        assert_eq!(directory("x"), Ok(("x".into(), "x".to_owned())));
        assert!(directory("::y").is_err());
    }
}
