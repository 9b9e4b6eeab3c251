//! `--watch`: deploys again when the source has changed.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{Receiver, channel};

use super::deploy::Deployment;
use crate::{failure, say};

/// Editors write in several steps, and a checkout writes many files: wait until it is quiet.
const QUIET: Duration = Duration::from_millis(250);

/// Tells that something in a folder has changed.
pub struct Changes {
    /// Holds at most one: that there was a change is all there is to know.
    changed: Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Begins to watch a folder.
    pub fn of(folder: &Path) -> anyhow::Result<Changes> {
        let (sender, changed) = channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !is_read {
                // Full: a change is known already.
                let _ = sender.try_send(());
            }
        });
        let mut watcher = watcher.context("the source cannot be watched")?;
        watcher
            .watch(folder, RecursiveMode::Recursive)
            .with_context(|| format!("{} cannot be watched", folder.display()))?;
        Ok(Changes {
            changed,
            _watcher: watcher,
        })
    }

    /// Waits for a change, and then until nothing changes any more.
    async fn next(&mut self) -> anyhow::Result<()> {
        self.changed
            .recv()
            .await
            .context("the source is no longer watched")?;
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changed.recv()).await {}
        Ok(())
    }
}

/// Deploys each change of the source, for ever. One that does not build changes nothing: the old dynos serve on.
pub async fn deploy_on_change(
    deployment: &Deployment,
    mut changes: Changes,
    mut deployed: String,
) -> anyhow::Result<()> {
    loop {
        changes.next().await?;
        let archive = match deployment.archive().await {
            Ok(archive) => archive,
            // A file may go while it is packed; its going is the next change.
            Err(error) => {
                failure::print(&error);
                continue;
            }
        };
        // Build products and editors' swap files are changes, but none of the source.
        if archive.checksum() == deployed {
            continue;
        }
        deployed = archive.checksum().to_owned();
        say::line("");
        match deployment.release(archive).await {
            Ok(()) => say::line(format!(
                "{} {} runs the new source",
                say::green("----->"),
                deployment.app
            )),
            Err(error) => failure::print(&error),
        }
    }
}
