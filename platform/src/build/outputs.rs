//! Output of builds and release commands: a bounded file each, followed live by any number of readers.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;
use uuid::Uuid;

use crate::limits::{BUILD_OUTPUT_BYTES_MAX, OUTPUT_LIFETIME};

/// Bytes read at once for a reader.
const CHUNK_BYTES: usize = 16 * 1024;

/// The folder of outputs.
#[derive(Debug)]
pub(crate) struct Outputs {
    folder: PathBuf,
    /// Those being written now.
    live: Mutex<HashMap<Uuid, watch::Receiver<u64>>>,
}

/// Writes one output; its end is the drop of the writer.
pub(crate) struct OutputWriter {
    id: Uuid,
    outputs: Arc<Outputs>,
    file: Mutex<Bounded>,
    length: watch::Sender<u64>,
}

struct Bounded {
    file: fs::File,
    length: u64,
    full: bool,
}

/// Reads one output from a place to its end.
pub(crate) struct OutputReader {
    file: tokio::fs::File,
    place: u64,
    /// `None` once the output has ended.
    length: Option<watch::Receiver<u64>>,
}

impl Outputs {
    pub fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            folder,
            live: Mutex::default(),
        })
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, watch::Receiver<u64>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an output.
    pub fn create(self: &Arc<Self>, id: Uuid) -> io::Result<OutputWriter> {
        let file = fs::File::create(self.path(id))?;
        let length = watch::Sender::new(0);
        self.live().insert(id, length.subscribe());
        let file = Mutex::new(Bounded {
            file,
            length: 0,
            full: false,
        });
        Ok(OutputWriter {
            id,
            outputs: Arc::clone(self),
            file,
            length,
        })
    }

    /// Opens an output for reading from byte `start`.
    pub async fn read(&self, id: Uuid, start: u64) -> io::Result<OutputReader> {
        // Asked before the file is opened: an output that ends in between is then read as one that has ended.
        let length = self.live().get(&id).cloned();
        let mut file = tokio::fs::File::open(self.path(id)).await?;
        file.seek(SeekFrom::Start(start)).await?;
        Ok(OutputReader {
            file,
            place: start,
            length,
        })
    }

    /// Removes outputs that are too old; those being written are not.
    pub fn sweep(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let written = entry.metadata()?.modified();
            let age = written.ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age > OUTPUT_LIFETIME) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Adds a line to an output that has ended, or that a crash has cut off.
    pub fn amend(&self, id: Uuid, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(id))?;
        writeln!(file, "{text}")
    }

    /// Removes an output that nobody will ask for.
    pub fn remove(&self, id: Uuid) {
        drop(fs::remove_file(self.path(id)));
    }
}

impl OutputWriter {
    /// Adds a line. A full or failed output drops it: a build must not fail because its words cannot be kept.
    pub fn line(&self, text: &str) {
        let mut bounded = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if bounded.full {
            return;
        }
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        if bounded.length + bytes.len() as u64 > BUILD_OUTPUT_BYTES_MAX {
            bounded.full = true;
            bytes =
                b" !     The output is longer than what is kept; the rest is dropped.\n".to_vec();
        }
        if let Err(error) = bounded.file.write_all(&bytes) {
            bounded.full = true;
            tracing::warn!(id = %self.id, %error, "output could not be kept");
            return;
        }
        bounded.length += bytes.len() as u64;
        self.length.send_replace(bounded.length);
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        self.outputs.live().remove(&self.id);
        // The sender drops next, which tells readers that the length is final.
    }
}

impl OutputReader {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let mut buffer = vec![0; CHUNK_BYTES];
            match self.file.read(&mut buffer).await {
                Err(error) => return Some(Err(error)),
                Ok(0) => {}
                Ok(count) => {
                    self.place += count as u64;
                    buffer.truncate(count);
                    return Some(Ok(Bytes::from(buffer)));
                }
            }
            let place = self.place;
            let length = self.length.as_mut()?;
            if length.wait_for(|length| *length > place).await.is_err() {
                // Ended: one more read catches what was written last.
                self.length = None;
            }
        }
    }
}

impl fmt::Debug for OutputWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputWriter")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OutputReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputReader")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::{OutputReader, Outputs};
    use crate::limits::BUILD_OUTPUT_BYTES_MAX;

    async fn rest(mut reader: OutputReader) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = reader.next().await {
            text.extend_from_slice(&chunk.expect("readable"));
        }
        String::from_utf8(text).expect("text")
    }

    #[tokio::test]
    async fn readers_see_all_of_it_live_late_and_resumed() {
        let folder = tempfile::tempdir().expect("a folder");
        let outputs = Outputs::new(folder.path().to_owned());
        let id = Uuid::new_v4();
        let writer = outputs.create(id).expect("created");
        writer.line("one");
        let live = tokio::spawn(rest(outputs.read(id, 0).await.expect("live")));
        let mut first = outputs.read(id, 0).await.expect("live");
        assert_eq!(
            first.next().await.expect("bytes").expect("readable"),
            "one\n"
        );
        assert!(
            tokio::time::timeout(Duration::from_millis(20), first.next())
                .await
                .is_err(),
            "ended too early"
        );
        writer.line("two");
        drop(writer);
        assert_eq!(live.await.expect("no panic"), "one\ntwo\n");
        assert_eq!(
            rest(outputs.read(id, 0).await.expect("late")).await,
            "one\ntwo\n"
        );
        assert_eq!(
            rest(outputs.read(id, 4).await.expect("resumed")).await,
            "two\n"
        );
        assert_eq!(
            rest(outputs.read(id, 999).await.expect("past the end")).await,
            ""
        );
    }

    #[tokio::test]
    async fn output_is_bounded_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let outputs = Outputs::new(folder.path().to_owned());
        let id = Uuid::new_v4();
        let writer = outputs.create(id).expect("created");
        let line = "x".repeat(64 * 1024 - 1);
        for _ in 0..=BUILD_OUTPUT_BYTES_MAX / (64 * 1024) {
            writer.line(&line);
        }
        drop(writer);
        let text = rest(outputs.read(id, 0).await.expect("late")).await;
        assert!(text.ends_with("the rest is dropped.\n"));
        assert!(text.len() as u64 <= BUILD_OUTPUT_BYTES_MAX + 100);
    }
}
