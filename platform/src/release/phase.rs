//! The release phase: an app's `release` command, run once before the release serves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::{OutputWriter, Outputs};
use crate::limits::{RELEASE_PHASE_TIMEOUT, STOP_GRACE};
use crate::log::{LogHub, LogSource};
use crate::model::{App, DynoSizeName, Release, ReleaseStatus};
use crate::reconcile::{BOOT, DynoStart, Engine, ProcessRequest, Run, log_as, one_off_name};
use crate::store::StoreError;

use super::{Apps, ReleaseError, Releases};

/// Runs release commands.
#[derive(Clone)]
pub(crate) struct ReleasePhase {
    parts: Arc<Parts>,
}

struct Parts {
    engine: Arc<dyn Engine>,
    releases: Releases,
    outputs: Arc<Outputs>,
    logs: Arc<LogHub>,
    user: String,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// How a release command went.
#[derive(Debug)]
pub(crate) enum PhaseOutcome {
    /// The release may serve.
    Succeeded,
    /// The release never serves.
    Failed {
        /// Why, for its owner.
        reason: String,
    },
}

impl ReleasePhase {
    pub fn new(
        engine: Arc<dyn Engine>,
        releases: Releases,
        outputs: Arc<Outputs>,
        logs: Arc<LogHub>,
        user: String,
    ) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        Self {
            parts: Arc::new(Parts {
                engine,
                releases,
                outputs,
                logs,
                user,
                tasks,
                shutdown,
            }),
        }
    }

    /// Runs a pending release's command in the background.
    pub fn start(&self, app: &App, release: &Release) {
        let (phase, app, release) = (self.clone(), app.clone(), release.clone());
        self.parts.tasks.spawn(async move {
            phase.run(&app, &release, None).await;
        });
    }

    /// Runs a pending release's command to its end and writes down how it went; `also` gets its lines too.
    pub async fn run(
        &self,
        app: &App,
        release: &Release,
        also: Option<Arc<OutputWriter>>,
    ) -> PhaseOutcome {
        let parts = &self.parts;
        let log = parts.logs.app(app.id, app.name.as_str());
        log.api(&format!(
            "Running release {} commands by user {}",
            release.version, parts.user
        ));
        let outcome = match self.execute(app, release, also).await {
            Ok(0) => PhaseOutcome::Succeeded,
            Ok(status) => PhaseOutcome::Failed {
                reason: format!("it exited with status {status}"),
            },
            Err(reason) => PhaseOutcome::Failed { reason },
        };
        let status = match &outcome {
            PhaseOutcome::Succeeded => ReleaseStatus::Succeeded,
            PhaseOutcome::Failed { reason } => {
                log.api(&format!(
                    "Release {} command failed: {reason}",
                    release.version
                ));
                ReleaseStatus::Failed
            }
        };
        match parts.releases.finish(app.id, release.version, status).await {
            Ok(_) | Err(ReleaseError::NoSuchApp) => outcome,
            Err(error) => PhaseOutcome::Failed {
                reason: format!("its end could not be written down: {error}"),
            },
        }
    }

    async fn execute(
        &self,
        app: &App,
        release: &Release,
        also: Option<Arc<OutputWriter>>,
    ) -> Result<i32, String> {
        let parts = &self.parts;
        let text = |error: ReleaseError| error.to_string();
        let output = parts
            .outputs
            .create(release.id)
            .map_err(|error| format!("its output cannot be kept: {error}"))?;
        let slug_id = release.slug.ok_or("the release has no slug")?;
        let slug = parts
            .releases
            .slug(slug_id)
            .await
            .map_err(text)?
            .ok_or("the slug is gone")?;
        let config_vars = parts
            .releases
            .config_vars(app.id, release.config)
            .await
            .map_err(text)?;
        let log = parts.logs.app(app.id, app.name.as_str());
        let loading = parts.engine.load(ProcessRequest {
            app: app.name.to_string(),
            release: release.version.to_string(),
            slug: slug.digest,
            process_type: "release".to_owned(),
            config_vars,
            log: log_as(Arc::clone(&log), BOOT.to_owned()),
        });
        let process = loading
            .await
            .map_err(|error| format!("it could not be loaded: {error}"))?;
        let name = one_off_name("release");
        let process_name = name.clone();
        let dyno = process.start(DynoStart {
            name,
            size: DynoSizeName::Basic,
            log: Arc::new(move |source, text| {
                log.write(source, &process_name, text);
                if source == LogSource::App {
                    output.line(text);
                    if let Some(also) = &also {
                        also.line(&format!("       {text}"));
                    }
                }
            }),
            run: Run::OnceWith(Vec::new()),
            environment: BTreeMap::new(),
            streams: None,
            place: None,
        });
        tokio::select! {
            status = dyno.exit() => Ok(status),
            () = tokio::time::sleep(RELEASE_PHASE_TIMEOUT) => {
                dyno.stop(STOP_GRACE).await;
                Err(format!("it did not end within {} minutes", RELEASE_PHASE_TIMEOUT.as_secs() / 60))
            }
            () = parts.shutdown.cancelled() => {
                dyno.stop(STOP_GRACE).await;
                Err("the platform was stopped".to_owned())
            }
        }
    }

    /// Ends what an earlier process left pending: a release command runs at most once.
    pub async fn fail_interrupted(&self, apps: &Apps) -> Result<(), StoreError> {
        let apps = match apps.list().await {
            Ok(apps) => apps,
            Err(super::AppError::Store(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        for app in apps {
            let Some(mut version) = app.release_latest else {
                continue;
            };
            // Only releases after the current one can be pending; usually there is none.
            while Some(version) > app.release_current {
                match self
                    .parts
                    .releases
                    .finish(app.id, version, ReleaseStatus::Failed)
                    .await
                {
                    Err(ReleaseError::Store(error)) => return Err(error),
                    Err(error) => {
                        tracing::warn!(app = %app.name, %version, %error, "an interrupted release is left");
                    }
                    Ok(_) => {}
                }
                let Some(previous) = version.previous() else {
                    break;
                };
                version = previous;
            }
        }
        Ok(())
    }

    /// Ends the commands that run, and waits for them.
    pub async fn shutdown(&self) {
        self.parts.shutdown.cancel();
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
    }
}

impl fmt::Debug for ReleasePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReleasePhase")
            .field("running", &self.parts.tasks.len())
            .finish_non_exhaustive()
    }
}
