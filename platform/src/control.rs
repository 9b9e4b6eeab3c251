//! What the API's handlers work with.

use std::sync::Arc;

use dyno_runtime::DynoSizes;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, Authorizations};
use crate::api::{BrowserLogins, RateLimit};
use crate::attach::Sessions;
use crate::build::{Builds, Outputs};
use crate::data_dir::DataDir;
use crate::log::LogHub;
use crate::model::{App, Release};
use crate::reconcile::Fleet;
use crate::release::{Apps, ReleasePhase, Releases};
use crate::secret::{ApiKey, Sealer};

/// The control plane's parts, shared by all requests.
#[derive(Debug)]
pub(crate) struct Control {
    pub account: Account,
    pub api_key: ApiKey,
    /// Keys that were given away.
    pub authorizations: Authorizations,
    /// Logins with a browser that are under way.
    pub browser_logins: BrowserLogins,
    /// `http://127.0.0.1:8080`, for clients that named no host.
    pub api_url: String,
    /// The port that apps are served on.
    pub port: u16,
    pub sealer: Sealer,
    pub rate_limit: RateLimit,
    pub sizes: DynoSizes,
    pub apps: Apps,
    pub releases: Releases,
    pub phase: ReleasePhase,
    pub builds: Builds,
    pub outputs: Arc<Outputs>,
    pub logs: Arc<LogHub>,
    pub fleet: Fleet,
    /// Clients of one-off dynos that are waited for.
    pub sessions: Sessions,
    /// Its lock is held for as long as anything works in it.
    pub data_dir: DataDir,
    /// Ends the streams that would otherwise outlive the platform.
    pub shutdown: CancellationToken,
}

impl Control {
    /// Tells the app's log of a new release.
    pub fn tell(&self, app: &App, release: &Release) {
        let log = self.logs.app(app.id, app.name.as_str());
        let user = &self.account.email;
        log.api(&format!("{} by user {user}", release.description));
        log.api(&format!(
            "Release {} created by user {user}",
            release.version
        ));
    }

    /// Tells the app's log of a new release, and starts its release command, or its dynos.
    pub async fn announce(&self, app: &App, release: &Release) {
        self.tell(app, release);
        if release.has_command {
            self.phase.start(app, release);
        } else {
            self.fleet.catch_up(app.id).await;
        }
    }
}
