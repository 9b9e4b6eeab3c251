//! One build from archive to release, its words streamed as it goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::cache::{self, CacheKey};
use super::compiler::CompileRequest;
use super::queue::{BuildRequest, Builds, KnownSource};
use super::unpack::{self, Unpacked};
use super::{OutputWriter, SlugWords, import};
use crate::control::Control;
use crate::model::{App, Build, BuildStatus, Release, Slug, Timestamp};
use crate::release::{Change, Deploy, PhaseOutcome, ReleaseError, SlugSource};
use crate::store::{StoreError, Transaction, Write, encode, keys};

/// Why a build made no release.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("the build was cancelled")]
    Cancelled,
    #[error(transparent)]
    Unpack(#[from] unpack::UnpackError),
    #[error(transparent)]
    Compile(#[from] dyno_buildpacks::CompileError),
    #[error("the slug could not be stored")]
    Slug(#[from] dyno_slug::ReadError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a file of the build could not be used")]
    Io(#[from] std::io::Error),
    #[error("the build crashed; this is a bug")]
    Crashed(#[from] tokio::task::JoinError),
}

/// A slug that is stored and may be released.
pub(super) struct Made {
    pub slug: Slug,
    pub source: SlugSource,
    pub default_config_vars: BTreeMap<String, String>,
    /// What the buildpack calls itself.
    pub buildpack: Option<String>,
    pub key: CacheKey,
}

/// `Deploy 1a2b3c4d`: eight digits of the commit, or of the slug where there is none.
pub(crate) fn deploy_words(commit: Option<&str>, digest: &str) -> String {
    let name = commit.unwrap_or_else(|| digest.trim_start_matches("sha256:"));
    let hexadecimal = name.len() > 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let shown: String = name
        .chars()
        .filter(|character| !character.is_control())
        .take(if hexadecimal { 8 } else { 64 })
        .collect();
    format!("Deploy {shown}")
}

/// Runs a build to its end and writes down how it went. The source archive is removed.
pub(super) async fn run(
    builds: &Builds,
    control: &Arc<Control>,
    app: &App,
    build: Build,
    wanted: &BuildRequest,
    output: OutputWriter,
    cancel: &CancellationToken,
) {
    let output = Arc::new(output);
    let log = control.logs.app(app.id, app.name.as_str());
    log.api(&format!("Build started by user {}", control.account.email));
    let mut failed = build.clone();
    let result = build_and_release(builds, control, app, build, wanted, &output, cancel).await;
    builds.inner.sources.remove(wanted.source);
    if let Err(error) = result {
        log.api("Build failed -- check your build output");
        tell_failure(&output, &error);
        failed.status = BuildStatus::Failed;
        failed.updated_at = Timestamp::now();
        if let Err(error) = builds.write(&failed).await {
            // The row stays pending until the next start, which marks it as failed.
            tracing::error!(build = %failed.id, %error, "a failed build could not be written down");
        }
    }
}

/// Heroku's words for a failure, with every cause.
fn tell_failure(output: &OutputWriter, error: &RunError) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent error repeats its source's words.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    for line in text.lines() {
        output.line(&format!(" !     {line}"));
    }
    output.line(" !");
    output.line(" !     Push failed");
}

async fn build_and_release(
    builds: &Builds,
    control: &Arc<Control>,
    app: &App,
    build: Build,
    wanted: &BuildRequest,
    output: &Arc<OutputWriter>,
    cancel: &CancellationToken,
) -> Result<(), RunError> {
    if cancel.is_cancelled() {
        return Err(RunError::Cancelled);
    }
    // Read again: the app may have got config vars and releases while this build waited.
    let read = control.apps.read(app.id).await;
    let app = read.map_err(|_| ReleaseError::NoSuchApp)?.value;
    let made = make_slug(builds, control, &app, &build, wanted, output, cancel).await?;
    output.line("-----> Launching...");
    let released = release(builds, control, &app, build, made, output).await?;
    if let Some(release) = released {
        launch(control, &app, &release, output).await;
    }
    Ok(())
}

/// The source's slug, from the last build or a new one.
async fn make_slug(
    builds: &Builds,
    control: &Control,
    app: &App,
    build: &Build,
    wanted: &BuildRequest,
    output: &Arc<OutputWriter>,
    cancel: &CancellationToken,
) -> Result<Made, RunError> {
    let config_vars = control.releases.current_config_vars(app).await?;
    let buildpacks = buildpacks(app, &build.buildpacks).to_vec();
    let work = builds.inner.compiler.work_folder()?;
    let source = unpack_source(builds, wanted, work.path()).await?;
    let key = CacheKey::new(control, &source, &buildpacks, &config_vars);
    if let Some(made) = cache::find(builds, control, app, &key).await? {
        tell_reuse(output, &made.slug);
        return Ok(made);
    }
    let request = CompileRequest {
        source: source.root,
        slug: work.path().join("app.slug"),
        app: app.id,
        buildpacks,
        config_vars,
        source_version: build.source_version.clone(),
    };
    let compiled = builds
        .inner
        .compiler
        .compile(request, Arc::clone(output), cancel.clone())
        .await?;
    let words = SlugWords {
        app: app.id,
        commit: build.source_version.clone(),
        commit_description: build.source_description.clone(),
        buildpack: compiled.buildpack.clone(),
    };
    let slug = import(builds.inner.slugs.clone(), compiled.slug, words).await?;
    Ok(Made {
        source: SlugSource::New(slug.clone()),
        slug,
        default_config_vars: compiled.default_config_vars,
        buildpack: compiled.buildpack,
        key,
    })
}

fn tell_reuse(output: &OutputWriter, slug: &Slug) {
    let digits = slug.digest.get(.."sha256:".len() + 12);
    let digest = digits.unwrap_or(&slug.digest);
    output.line("-----> Source has not changed since the last build");
    output.line(&format!("       Using its slug ({digest})"));
}

/// The build's own choice wins over the app's.
fn buildpacks<'a>(app: &'a App, of_build: &'a [String]) -> &'a [String] {
    if of_build.is_empty() {
        &app.buildpacks
    } else {
        of_build
    }
}

/// Releases a slug, or writes down that the app runs it already: the same push twice is one release.
async fn release(
    builds: &Builds,
    control: &Control,
    app: &App,
    mut build: Build,
    made: Made,
    output: &OutputWriter,
) -> Result<Option<Release>, RunError> {
    build.status = BuildStatus::Succeeded;
    let log = control.logs.app(app.id, app.name.as_str());
    if let Some(current) = unchanged(control, app, &made).await? {
        build.slug = Some(made.slug.id);
        build.release = Some(current.version);
        build.release_id = Some(current.id);
        build.updated_at = Timestamp::now();
        let row = made.key.row(made.slug.id);
        let writes = Transaction::default()
            .write(Write::Put(keys::build(app.id, build.id), encode(&build)?))
            // The tree may have come in another archive than last time.
            .write(Write::Put(keys::build_cache(app.id), encode(&row)?));
        builds.inner.store.commit(writes).await?;
        log.api("Build succeeded");
        let words = format!(
            "       Nothing to release: {} runs this slug",
            current.version
        );
        output.line(&words);
        return Ok(None);
    }
    let deploy = Deploy {
        slug: made.source,
        description: deploy_words(build.source_version.as_deref(), &made.slug.digest),
        default_config_vars: made.default_config_vars,
        cache: Some(made.key.row(made.slug.id)),
        build: Some(build),
        buildpack: made.buildpack,
    };
    let change = Change::Deploy(Box::new(deploy));
    let released = control.releases.make(app.id, &change).await?;
    log.api("Build succeeded");
    Ok(released)
}

/// Releases what a client has built before, known by its archive's checksum: nothing is uploaded, unpacked or
/// compiled. `None` when the source is not known so, or something else that decides the slug has changed.
pub(super) async fn reuse(
    builds: &Builds,
    control: &Arc<Control>,
    app: &App,
    build: Build,
    known: &KnownSource,
) -> Result<Option<Build>, RunError> {
    let buildpacks = buildpacks(app, &build.buildpacks);
    let found = cache::find_archive(builds, control, app, &known.checksum, buildpacks).await?;
    let Some(made) = found else {
        return Ok(None);
    };
    let id = build.id;
    let output = builds.inner.outputs.create(id.as_uuid())?;
    tell_reuse(&output, &made.slug);
    if let Some(release) = release(builds, control, app, build, made, &output).await? {
        output.line(&format!("       Released {}", release.version));
        control.announce(app, &release).await;
    }
    Ok(builds.read(app.id, id).await?)
}

/// Runs the release command, if there is one, and says how it went.
async fn launch(control: &Arc<Control>, app: &App, release: &Release, output: &Arc<OutputWriter>) {
    control.tell(app, release);
    output.line(&format!("       Released {}", release.version));
    if release.has_command {
        output.line("-----> Running release command...");
        let also = Some(Arc::clone(output));
        let outcome = control.phase.run(app, release, also).await;
        if let PhaseOutcome::Failed { reason } = outcome {
            output.line(&format!(" !     Release command failed: {reason}"));
            output.line(" !     The previous release keeps serving.");
            return;
        }
    }
    control.fleet.catch_up(app.id).await;
    let (name, port) = (&app.name, control.port);
    output.line(&format!(
        "       http://{name}.localhost:{port}/ deployed to dyno"
    ));
}

async fn unpack_source(
    builds: &Builds,
    wanted: &BuildRequest,
    work: &Path,
) -> Result<Unpacked, RunError> {
    let archive = builds.inner.sources.path(wanted.source);
    let target = work.join("source");
    let checksum = wanted.checksum.clone();
    let unpacked = tokio::task::spawn_blocking(move || {
        std::fs::create_dir(&target)?;
        Ok::<_, RunError>(unpack::unpack(&archive, &target, checksum.as_deref())?)
    });
    unpacked.await?
}

/// The current release, when it is the newest and runs this very slug already.
async fn unchanged(control: &Control, app: &App, made: &Made) -> Result<Option<Release>, RunError> {
    let (SlugSource::Known(id), Some(current)) = (&made.source, app.release_current) else {
        return Ok(None);
    };
    if app.release_latest != Some(current) {
        return Ok(None);
    }
    let current = control.releases.read(app.id, current).await?;
    Ok(current.filter(|release| release.slug == Some(*id)))
}

#[cfg(test)]
mod tests {
    use super::deploy_words;

    #[test]
    fn a_deploy_is_named_by_its_commit_or_its_slug() {
        let digest = "sha256:0123456789abcdef";
        let words = |commit| deploy_words(commit, digest);
        assert_eq!(words(Some("1a2b3c4d5e6f70819")), "Deploy 1a2b3c4d");
        assert_eq!(words(Some("v1.2.3")), "Deploy v1.2.3");
        assert_eq!(words(None), "Deploy 01234567");
    }
}
