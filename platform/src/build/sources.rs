//! Uploaded source archives: each written once, kept for an hour.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::BuildError;
use crate::limits::{SOURCE_ARCHIVE_BYTES_MAX, SOURCE_URL_LIFETIME, SOURCES_MAX, UPLOADS_MAX};

/// Names one uploaded archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SourceId(Uuid);

impl SourceId {
    /// A new random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The folder of uploads.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    folder: PathBuf,
    uploads: Arc<Semaphore>,
}

/// Removes a half-written upload, so that the client may try again.
struct Unfinished<'a>(Option<&'a Path>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // What cannot be removed now is swept later.
            drop(fs::remove_file(path));
        }
    }
}

impl Sources {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
        }
    }

    /// Where a complete upload is.
    pub fn path(&self, id: SourceId) -> PathBuf {
        self.folder.join(format!("{id}.tar"))
    }

    /// Streams an upload to disk; each id takes one.
    ///
    /// # Cancel safety
    /// Dropping the future (the client left) removes what was written.
    pub async fn receive(&self, id: SourceId, body: Body) -> Result<(), BuildError> {
        let _permit = self
            .uploads
            .acquire()
            .await
            .map_err(|_| BuildError::Source("The platform is stopping.".into()))?;
        let complete = self.path(id);
        let used = || {
            BuildError::Source("This address was used already; each takes one upload.".to_owned())
        };
        if complete.exists() {
            return Err(used());
        }
        if self.count().map_err(BuildError::io("counting uploads"))? >= SOURCES_MAX {
            return Err(BuildError::QueueFull {
                waiting: SOURCES_MAX,
            });
        }
        let partial = self.folder.join(format!("{id}.part"));
        let opened = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&partial)
            .await;
        let mut file = match opened {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(used()),
            result => result.map_err(BuildError::io("keeping the upload"))?,
        };
        let mut unfinished = Unfinished(Some(&partial));
        let mut received: u64 = 0;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|_| BuildError::Source("The upload broke off.".to_owned()))?;
            received += chunk.len() as u64;
            if received > SOURCE_ARCHIVE_BYTES_MAX {
                return Err(BuildError::TooLarge);
            }
            file.write_all(&chunk)
                .await
                .map_err(BuildError::io("keeping the upload"))?;
        }
        file.flush()
            .await
            .map_err(BuildError::io("keeping the upload"))?;
        drop(file);
        tokio::fs::rename(&partial, &complete)
            .await
            .map_err(BuildError::io("keeping the upload"))?;
        unfinished.0 = None;
        Ok(())
    }

    /// Removes an archive that no build will read again.
    pub fn remove(&self, id: SourceId) {
        if let Err(error) = fs::remove_file(self.path(id))
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%id, %error, "a source archive could not be removed");
        }
    }

    /// Removes archives whose addresses have expired.
    pub fn sweep(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let age = entry
                .metadata()?
                .modified()
                .ok()
                .and_then(|written| now.duration_since(written).ok());
            if age.is_some_and(|age| age > SOURCE_URL_LIFETIME) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn count(&self) -> io::Result<usize> {
        Ok(fs::read_dir(&self.folder)?.count())
    }
}
