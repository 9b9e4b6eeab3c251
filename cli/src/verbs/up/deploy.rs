//! One deployment through the API: app, config vars, build, formation, and the wait until the dynos are up.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use crate::api::{
    Api, App, Build, ConfigVars, Dyno, Formation, LogSession, Release, error_id, segment,
};
use crate::build_output::BuildOutput;
use crate::failure::Hint;
use crate::scale::Scale;
use crate::source_archive::SourceArchive;
use crate::text_stream::Lines;

/// Compiling a large component for the first time takes a minute on a small machine.
const UP_TIMEOUT: Duration = Duration::from_secs(300);
/// How often the dynos are looked at; the first looks are closer together, for apps that start at once.
const LOOK_PERIOD_MAX: Duration = Duration::from_millis(200);
const LOOK_PERIOD_MIN: Duration = Duration::from_millis(10);
/// Log lines shown with an app that does not come up.
const LINES_OF_FAILURE: u32 = 20;

/// What is deployed, and where.
pub struct Deployment {
    pub api: Api,
    pub app: String,
    pub folder: PathBuf,
    pub vars: ConfigVars,
    pub formation: Vec<Scale>,
}

impl Deployment {
    /// Deploys the source as it is now, and waits until it is up. Answers the source's checksum.
    pub async fn run(&self) -> anyhow::Result<String> {
        self.create_app().await?;
        if !self.vars.is_empty() {
            let body = serde_json::to_value(&self.vars)?;
            let _: ConfigVars = self.api.patch(&self.path("/config-vars"), &body).await?;
        }
        let archive = self.archive().await?;
        let checksum = archive.checksum().to_owned();
        self.release(archive).await?;
        Ok(checksum)
    }

    /// Builds a source that was packed already, and waits until it is up.
    pub async fn release(&self, archive: SourceArchive) -> anyhow::Result<()> {
        let mut output = BuildOutput::new();
        self.build(archive, &mut output).await?;
        let release = self.succeeded().await?;
        self.scale().await?;
        output.doing("starting");
        self.wait_until_up(&release).await?;
        output.end();
        Ok(())
    }

    /// The source as it is now.
    pub async fn archive(&self) -> anyhow::Result<SourceArchive> {
        let folder = self.folder.clone();
        let packing = tokio::task::spawn_blocking(move || SourceArchive::pack(&folder));
        packing
            .await
            .context("packing the source crashed; this is a bug")?
    }

    fn path(&self, below: &str) -> String {
        format!("/apps/{}{below}", segment(&self.app))
    }

    async fn create_app(&self) -> anyhow::Result<()> {
        match self.api.get::<App>(&self.path("")).await {
            Ok(_) => Ok(()),
            Err(error) if error_id(&error) == Some("not_found") => {
                let _: App = self.api.post("/apps", &json!({ "name": self.app })).await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Builds the source, or has the platform use what it made of the very same source before.
    async fn build(&self, archive: SourceArchive, output: &mut BuildOutput) -> anyhow::Result<()> {
        let known = json!({ "source_blob": { "checksum": archive.checksum() } });
        let build = match self.api.post::<Build>(&self.path("/builds"), &known).await {
            Err(error) if error_id(&error) == Some("source_required") => {
                output.doing(&format!("uploading {} files", archive.files()));
                let checksum = segment(archive.checksum());
                let path = self.path(&format!("/builds?checksum={checksum}"));
                self.api
                    .upload::<Build>(&path, "application/x-tar", archive.into_file())
                    .await?
            }
            answer => answer?,
        };
        let mut lines = Lines::new(self.api.open(&build.output_stream_url).await?);
        while let Some(line) = lines.next().await? {
            output.line(&line);
        }
        // The last words and the last write of a build are not one: the status may follow.
        let began = Instant::now();
        let path = self.path(&format!("/builds/{}", segment(&build.id)));
        loop {
            let build: Build = self.api.get(&path).await?;
            match build.status.as_str() {
                "succeeded" => return Ok(()),
                "pending" if began.elapsed() < UP_TIMEOUT => {
                    tokio::time::sleep(LOOK_PERIOD_MAX).await;
                }
                "pending" => bail!("the build of {} does not end", self.app),
                _ => return Err(self.not_deployed("was not built").await),
            }
        }
    }

    /// The newest release, if its release command (when there is one) went well.
    async fn succeeded(&self) -> anyhow::Result<Release> {
        let range = "version ..; order=desc,max=1";
        let releases: Vec<Release> = self.api.list(&self.path("/releases"), range).await?;
        let Some(release) = releases.into_iter().next() else {
            bail!("the build of {} made no release", self.app);
        };
        if release.status == "failed" {
            let version = release.version;
            let what = format!("was not deployed: the release command of v{version} failed");
            return Err(self.not_deployed(&what).await);
        }
        Ok(release)
    }

    /// Says what is left after a deployment that came to nothing.
    async fn not_deployed(&self, what: &str) -> anyhow::Error {
        let (app, range) = (&self.app, "version ..; order=desc,max=20");
        let releases = self
            .api
            .list::<Release>(&self.path("/releases"), range)
            .await;
        let mut releases = releases.unwrap_or_default().into_iter();
        match releases.find(|release| release.current) {
            Some(current) => anyhow!(
                "{app} {what}\nv{} stays its current release",
                current.version
            ),
            None => anyhow!("{app} {what}"),
        }
    }

    async fn scale(&self) -> anyhow::Result<()> {
        if self.formation.is_empty() {
            return Ok(());
        }
        let updates: Vec<Value> = self.formation.iter().map(Scale::update).collect();
        let body = json!({ "updates": updates });
        let _: Vec<Formation> = self.api.patch(&self.path("/formation"), &body).await?;
        Ok(())
    }

    /// Waits until every dyno of the formation runs this release.
    async fn wait_until_up(&self, release: &Release) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut period = LOOK_PERIOD_MIN;
        loop {
            let formation: Vec<Formation> = self.api.get(&self.path("/formation")).await?;
            let wanted: u32 = formation.iter().map(|entry| entry.quantity).sum();
            let mut dynos: Vec<Dyno> = self.api.get(&self.path("/dynos")).await?;
            dynos.retain(|dyno| {
                dyno.process_type != "run" && dyno.release.version >= release.version
            });
            if let Some(crashed) = dynos.iter().find(|dyno| dyno.state == "crashed") {
                return Err(self.not_up(&crashed.name, "crashed").await);
            }
            let is_up = |dyno: &&Dyno| matches!(dyno.state.as_str(), "up" | "idle");
            if dynos.iter().filter(is_up).count() >= wanted as usize {
                return Ok(());
            }
            if began.elapsed() > UP_TIMEOUT {
                let name = dynos
                    .iter()
                    .find(|dyno| !is_up(dyno))
                    .map_or("web.1", |dyno| &dyno.name);
                return Err(self.not_up(name, "is still starting").await);
            }
            tokio::time::sleep(period).await;
            period = (period * 2).min(LOOK_PERIOD_MAX);
        }
    }

    async fn not_up(&self, dyno: &str, state: &str) -> anyhow::Error {
        let log = self.last_lines().await.unwrap_or_default();
        let what = format!("{dyno} of {} {state}{log}", self.app);
        Hint::new(
            what,
            "the lines above are its log; dyno releases and dyno rollback go back to what worked",
        )
        .into()
    }

    /// The end of the log, each line on a line of its own.
    async fn last_lines(&self) -> anyhow::Result<String> {
        let session = json!({ "lines": LINES_OF_FAILURE, "tail": false });
        let session: LogSession = self.api.post(&self.path("/log-sessions"), &session).await?;
        let mut lines = Lines::new(self.api.open(&session.logplex_url).await?);
        let mut text = String::new();
        while let Some(line) = lines.next().await? {
            text.push('\n');
            text.push_str(&crate::say::terminal_safe(&line));
        }
        Ok(text)
    }
}
