//! The whole platform in one process: start it, ask where it listens, stop it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dyno_router::{DrainReport, EdgeSockets, Edges, Fallback, Router, RouterOptions};
use dyno_runtime::{
    EgressPolicy, Runtime, RuntimeError, RuntimeOptions, TrustedRoots, TrustedRootsError,
};
use dyno_slug::SlugStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, Authorizations};
use crate::api;
use crate::api_service::ApiService;
use crate::attach::Sessions;
use crate::build::{Builds, Compiler, CompilerFolders, Outputs, Sources};
use crate::certificate_authority::{CertificateAuthority, CertificateError, PortCertificate};
use crate::control::Control;
use crate::data_dir::{DataDir, DataDirError};
use crate::limits::SWEEP_PERIOD;
use crate::log::{ConsoleReader, LogHub};
use crate::reconcile::{Engine, Fleet, FleetParts};
use crate::release::{Apps, ReleasePhase, Releases};
use crate::router_log::RouterLog;
use crate::secret::{ApiKey, Sealer, SecretError, write_private};
use crate::settings::{Settings, SettingsError};
use crate::store::{SqliteStore, Store, StoreError};
use crate::wasm_engine::WasmEngine;

/// How a platform is started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlatformOptions {
    /// Where everything is kept; made if it does not exist. One process owns it at a time.
    pub data_dir: PathBuf,
    /// Where the API and the apps are served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// A settings file that must exist. Default: `dyno.toml` in the data directory, if there is one.
    pub settings_file: Option<PathBuf>,
    /// The `dyno` program, whose primitives buildpacks call. Default: the running program, which is right for `dyno`.
    pub dyno_executable: Option<PathBuf>,
}

impl PlatformOptions {
    /// A platform in `data_dir` on 127.0.0.1:8080.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            settings_file: None,
            dyno_executable: None,
        }
    }

    /// Listens elsewhere.
    #[must_use]
    pub fn listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Reads settings from this file, which must exist.
    #[must_use]
    pub fn settings_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings_file = Some(path.into());
        self
    }

    /// Gives buildpacks this `dyno` program: for a program that embeds the platform.
    #[must_use]
    pub fn dyno_executable(mut self, path: impl Into<PathBuf>) -> Self {
        self.dyno_executable = Some(path.into());
        self
    }
}

/// Why a platform did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory is in use or unusable.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The settings are not valid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A key file is unusable.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// TLS cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The state store is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The slug store is unusable.
    #[error("the slug store cannot be used")]
    Slugs(#[from] dyno_slug::ReadError),
    /// The buildpacks cannot be unpacked.
    #[error(transparent)]
    Buildpacks(#[from] dyno_buildpacks::UnpackError),
    /// The runtime cannot be set up.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The certificates that `SSL_CERT_FILE` names cannot be used.
    #[error(transparent)]
    Certificates(#[from] TrustedRootsError),
    /// Another process listens there.
    #[error(
        "cannot listen on {address}: the port is in use by another process\n  hint: stop that process, or choose another address with --listen"
    )]
    PortInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gave no threads to serve with.
    #[error("the threads that serve connections cannot be started")]
    Threads(#[source] io::Error),
    /// A file could not be written.
    #[error("{} cannot be written", .path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A running platform. Dropping it without [`Platform::shutdown`] is a crash: what was acknowledged is kept.
pub struct Platform {
    address: SocketAddr,
    control: Arc<Control>,
    tasks: Tasks,
}

/// What runs for as long as the platform does; ended at once when it is dropped.
struct Tasks {
    api: ApiService,
    edges: Option<Edges>,
    background: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop.cancel();
        // The router holds the API, and the API's parts hold the router: neither would ever be dropped.
        self.api.clear();
        for task in &self.background {
            task.abort();
        }
    }
}

impl Platform {
    /// Starts everything: store, runtime, router, API, builds, and every app that should run.
    ///
    /// Returns once requests are accepted; apps come up in the background.
    pub async fn start(options: PlatformOptions) -> Result<Self, StartError> {
        let (data_dir, settings) = open(&options)?;
        let slugs = SlugStore::open(data_dir.slugs())?;
        let runtime = Runtime::new(runtime_options(&data_dir, &settings)?)?;
        let sizes = settings.sizes.0.clone();
        let egress = settings.egress.clone();
        let engine = Arc::new(WasmEngine::new(runtime, slugs.clone(), sizes, egress));
        Self::start_with(options, data_dir, settings, slugs, engine).await
    }

    async fn start_with(
        options: PlatformOptions,
        data_dir: DataDir,
        settings: Settings,
        slugs: SlugStore,
        engine: Arc<dyn Engine>,
    ) -> Result<Self, StartError> {
        let sockets = bind(options.listen, edge_threads(&settings))?;
        let address = sockets.local_address();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&data_dir.store_file())?);
        let sealer = Sealer::open_or_create(&data_dir.sealing_key())?;
        let api_key = ApiKey::open_or_create(&data_dir.api_key())?;
        let logs = Arc::new(LogHub::new());
        let apps = Apps::new(Arc::clone(&store), Arc::clone(&logs));
        let releases = Releases::new(Arc::clone(&store), sealer.clone());
        let account = Account::new(
            settings.account.email.clone(),
            &sealer,
            data_dir.since().into(),
        );
        let outputs = Outputs::new(data_dir.outputs());
        let folders = compiler_folders(&data_dir, &settings);
        let compiler = Compiler::new(folders, options.dyno_executable)?;
        if let Err(error) = compiler.remove_leftovers() {
            tracing::warn!(%error, "folders of interrupted builds could not be removed");
        }
        let builds = Builds::new(
            Arc::clone(&store),
            Sources::new(data_dir.sources()),
            Arc::clone(&outputs),
            slugs,
            compiler,
            settings.build.concurrency,
        );
        let phase = ReleasePhase::new(
            Arc::clone(&engine),
            releases.clone(),
            Arc::clone(&outputs),
            Arc::clone(&logs),
            account.email.clone(),
        );
        // What the last process left in the middle is ended before anything new begins.
        apps.purge_leftovers().await?;
        builds.fail_interrupted().await?;
        phase.fail_interrupted(&apps).await?;

        let api = ApiService::new();
        let authority = CertificateAuthority::open_or_create(
            &data_dir.authority_key(),
            &data_dir.authority_certificate(),
        )?;
        let sessions = Sessions::default();
        let certificate = PortCertificate::new(authority, Arc::new(sessions.clone()))?;
        let router_options = RouterOptions {
            timeouts: settings.router.timeouts.clone(),
            limits: settings.router.limits.clone(),
            request_log: Arc::new(RouterLog::new(Arc::clone(&logs))),
            fallback: Some(Fallback::new(api.clone())),
        };
        let router = Router::with_tls(router_options, certificate.tls());
        let authorizations = Authorizations::new(Arc::clone(&store));
        let parts = FleetParts {
            engine,
            store,
            apps: apps.clone(),
            releases: releases.clone(),
            logs: Arc::clone(&logs),
            router: router.clone(),
        };
        let control = Arc::new(Control {
            account,
            api_key,
            authorizations,
            browser_logins: api::BrowserLogins::default(),
            api_url: format!("http://{}", reachable(address)),
            port: address.port(),
            sealer,
            rate_limit: api::RateLimit::new(),
            sizes: settings.sizes.0,
            apps,
            releases,
            phase,
            builds,
            outputs,
            logs,
            fleet: Fleet::new(parts),
            sessions,
            shutdown: CancellationToken::new(),
            data_dir,
        });
        api.set(api::router(Arc::clone(&control)));
        let url_file = control.data_dir.api_url();
        write_private(&url_file, format!("{}\n", control.api_url).as_bytes()).map_err(
            |source| StartError::Write {
                path: url_file,
                source,
            },
        )?;
        control.fleet.resume().await?;
        Self::serve(&router, sockets, control, api, certificate)
    }

    fn serve(
        router: &Router,
        sockets: EdgeSockets,
        control: Arc<Control>,
        api: ApiService,
        certificate: PortCertificate,
    ) -> Result<Self, StartError> {
        let address = sockets.local_address();
        let edges = Edges::start(router, sockets).map_err(StartError::Threads)?;
        let stop = CancellationToken::new();
        let fleet = control.fleet.clone();
        let background = vec![
            tokio::spawn(async move { fleet.run().await }),
            tokio::spawn(sweep(Arc::clone(&control), stop.clone())),
            tokio::spawn(certificate.keep_renewed(stop.clone())),
        ];
        Ok(Self {
            address,
            control,
            tasks: Tasks {
                api,
                edges: Some(edges),
                background,
                stop,
            },
        })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The API's address: `http://127.0.0.1:8080`. Also in the file `api-url` of the data directory.
    pub fn api_url(&self) -> &str {
        &self.control.api_url
    }

    /// The API's key. Also in the file `api-key` of the data directory.
    pub fn api_key(&self) -> &ApiKey {
        &self.control.api_key
    }

    /// Every app's log lines as they come, for an operator's console. A reader that is too slow is told how many
    /// lines it missed.
    pub fn console(&self) -> ConsoleReader {
        self.control.logs.console()
    }

    /// Stops: no new connections, requests in flight end, dynos get at most `grace`, everything is written.
    pub async fn shutdown(mut self, grace: Duration) -> DrainReport {
        let control = &self.control;
        // Streams of the API end first, or the drain would wait for readers who wait for us.
        control.shutdown.cancel();
        self.tasks.stop.cancel();
        // So do their sessions with one-off dynos.
        control.fleet.stop_one_offs();
        let edges = self.tasks.edges.take();
        let stop = async {
            // A build may be waiting for its release command, so both are told before either is waited for.
            tokio::join!(control.builds.shutdown(), control.phase.shutdown());
            let report = match edges {
                Some(edges) => edges.drain().await,
                None => DrainReport::default(),
            };
            control.fleet.shutdown().await;
            report
        };
        let report = tokio::time::timeout(grace, stop).await;
        // The next process must not find an address that nobody serves.
        drop(std::fs::remove_file(control.data_dir.api_url()));
        control.data_dir.unlock();
        report.unwrap_or_default()
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn open(options: &PlatformOptions) -> Result<(DataDir, Settings), StartError> {
    let data_dir = DataDir::open(&options.data_dir)?;
    let settings = match &options.settings_file {
        Some(path) => Settings::read(path)?,
        None => Settings::read_if_present(&data_dir.settings())?,
    };
    Ok((data_dir, settings))
}

fn bind(address: SocketAddr, threads: usize) -> Result<EdgeSockets, StartError> {
    EdgeSockets::bind(address, threads).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => StartError::PortInUse { address },
        _ => StartError::Listen { address, source },
    })
}

/// The address a client on this machine uses: a wildcard is no address to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v6.port()))
        }
        address => address,
    }
}

/// One for each processor: a connection stays on its thread.
fn edge_threads(settings: &Settings) -> usize {
    settings
        .router
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

fn runtime_options(
    data_dir: &DataDir,
    settings: &Settings,
) -> Result<RuntimeOptions, TrustedRootsError> {
    let mut options = RuntimeOptions::new(data_dir.runtime());
    let wanted = &settings.runtime;
    options.instance_slots_max = wanted
        .instance_slots_max
        .unwrap_or(options.instance_slots_max);
    options.guest_threads = wanted.guest_threads.unwrap_or(options.guest_threads);
    options.idle_after = wanted
        .idle_after_seconds
        .map_or(options.idle_after, Duration::from_secs);
    options.memory_bytes_max = wanted.memory_bytes_max;
    options.code_cache_bytes_max = wanted
        .code_cache_bytes_max
        .unwrap_or(options.code_cache_bytes_max);
    options.egress = EgressPolicy::default().with(&settings.egress.allow);
    options.trusted_roots = TrustedRoots::from_environment()?;
    Ok(options)
}

fn compiler_folders(data_dir: &DataDir, settings: &Settings) -> CompilerFolders {
    CompilerFolders {
        work: data_dir.build_work(),
        caches: data_dir.build_caches(),
        toolchains: settings
            .build
            .toolchain_dir
            .clone()
            .unwrap_or_else(|| data_dir.toolchains()),
        buildpacks: data_dir.buildpacks(),
    }
}

/// Removes files that nobody may ask for any more.
async fn sweep(control: Arc<Control>, stop: CancellationToken) {
    loop {
        if let Err(error) = control.builds.sources().sweep() {
            tracing::warn!(%error, "expired source archives could not be removed");
        }
        if let Err(error) = control.outputs.sweep() {
            tracing::warn!(%error, "old build outputs could not be removed");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_PERIOD) => {}
            () = stop.cancelled() => return,
        }
    }
}
