//! What a dyno's files hold: bytes, entries, open handles, and their bounds.

use crate::memory::MemoryAccount;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Bounds of one dyno's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes that its files may grow by, all together. A hole in a file counts like what is written.
    pub bytes_max: u64,
    /// Files, directories and links that it may add.
    pub entries_max: u64,
    /// Files and directories that it may hold open.
    pub open_max: usize,
}

/// A bound of [`FileLimits`] that a guest has met: what it asked for was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileBound {
    /// [`FileLimits::bytes_max`].
    Bytes,
    /// [`FileLimits::entries_max`].
    Entries,
    /// [`FileLimits::open_max`].
    Open,
}

/// The files of one dyno, over all its instances.
///
/// The sizes are those of the open files, which the account keeps open itself until the guest has let go of them: a
/// file that was removed while it is open still takes its place on the disk, and is counted until then. While a write is
/// on its way its file counts as if it had been done; afterwards the file is asked for its size again, so that a write
/// that failed, or came second to a truncation, leaves no trace.
pub struct FileAccount {
    limits: FileLimits,
    memory: Arc<MemoryAccount>,
    told: Box<dyn Fn(FileBound) + Send + Sync>,
    /// Held by calls that change directories, and by opens: what they look at first must hold until they are done.
    pub(super) changes: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Growth since the dyno began; less than nothing when it removed files of its app.
    bytes: i64,
    entries: i64,
    /// Regular files below writable directories.
    counted: HashMap<Inode, Counted>,
    /// Directories, and files that cannot be changed.
    others: Vec<Weak<File>>,
}

/// Device and number.
type Inode = (u64, u64);

struct Counted {
    handles: Vec<Arc<File>>,
    /// At least its size.
    size: u64,
    writes_in_flight: usize,
}

impl FileAccount {
    /// An account whose bytes also count as `memory`. `told` learns of every refusal, on the guest's thread.
    pub fn new(
        limits: FileLimits,
        memory: Arc<MemoryAccount>,
        told: impl Fn(FileBound) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits,
            memory,
            told: Box::new(told),
            changes: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// An account without bounds, for commands that an operator runs in directories of their own.
    pub fn unbounded(memory: Arc<MemoryAccount>) -> Arc<Self> {
        let limits = FileLimits {
            bytes_max: LENGTH_MAX,
            entries_max: i64::MAX.unsigned_abs(),
            open_max: usize::MAX,
        };
        Self::new(limits, memory, |_| ())
    }

    /// The bounds.
    pub fn limits(&self) -> FileLimits {
        self.limits
    }

    /// Bytes that the files have grown by.
    pub fn bytes(&self) -> u64 {
        let mut state = self.state();
        self.settle(&mut state);
        grown(state.bytes)
    }

    /// Lets go of files that the guest holds no longer.
    pub(crate) fn forget_closed(&self) {
        let mut state = self.state();
        self.settle(&mut state);
    }

    /// Whether one more file or directory may be opened.
    pub(super) fn may_open(&self) -> bool {
        let mut state = self.state();
        if state.open() >= self.limits.open_max {
            self.settle(&mut state);
        }
        let may = state.open() < self.limits.open_max;
        drop(state);
        if !may {
            (self.told)(FileBound::Open);
        }
        may
    }

    /// Whether one more entry may be made.
    pub(super) fn may_add_entry(&self) -> bool {
        let may = grown(self.state().entries) < self.limits.entries_max;
        if !may {
            (self.told)(FileBound::Entries);
        }
        may
    }

    pub(super) fn entry_added(&self) {
        self.state().entries += 1;
    }

    pub(super) fn entry_removed(&self) {
        self.state().entries -= 1;
    }

    /// Notes a directory, or a file that cannot be changed, that was opened.
    pub(super) fn opened_other(&self, file: &Arc<File>) {
        self.state().others.push(Arc::downgrade(file));
    }

    /// Notes an opened file. `size_before` is its size before this very open cut it to nothing, if it did.
    pub(super) fn opened(&self, file: &Arc<File>, size_before: Option<u64>) -> io::Result<()> {
        let metadata = file.metadata()?;
        let inode = (metadata.dev(), metadata.ino());
        let mut state = self.state();
        // A number may have been given to another file since the guest closed the one that had it.
        self.settle(&mut state);
        let counted = state.counted.entry(inode).or_insert_with(|| Counted {
            handles: Vec::new(),
            size: size_before.unwrap_or(metadata.len()),
            writes_in_flight: 0,
        });
        counted.handles.push(file.clone());
        self.measure(&mut state, inode);
        Ok(())
    }

    /// Notes that a file will be at least `end` bytes long, or that much longer. The file is measured when the
    /// result is dropped.
    pub(super) fn grow(self: &Arc<Self>, file: &File, end: End) -> io::Result<Growth> {
        let metadata = file.metadata()?;
        let inode = (metadata.dev(), metadata.ino());
        let mut state = self.state();
        let size = state
            .counted
            .get(&inode)
            .map_or(metadata.len(), |counted| counted.size);
        // No system has longer files; what is wrong with a larger number is for it to say.
        let wanted = match end {
            End::At(end) => end.min(LENGTH_MAX).max(size),
            End::Further(bytes) => size.saturating_add(bytes),
        };
        let more = wanted - size;
        if more > 0 && grown(state.bytes).saturating_add(more) > self.limits.bytes_max {
            self.settle(&mut state);
            if grown(state.bytes).saturating_add(more) > self.limits.bytes_max {
                drop(state);
                (self.told)(FileBound::Bytes);
                return Err(io::Error::from_raw_os_error(NO_SPACE));
            }
        }
        if let Some(counted) = state.counted.get_mut(&inode) {
            counted.size = wanted;
            counted.writes_in_flight += 1;
            self.add(&mut state, i64::try_from(more).unwrap_or(i64::MAX));
        }
        Ok(Growth {
            account: self.clone(),
            inode,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a file on which nothing is being written for its size.
    fn measure(&self, state: &mut State, inode: Inode) {
        let Some(counted) = state.counted.get_mut(&inode) else {
            return;
        };
        let size = counted
            .handles
            .first()
            .and_then(|file| file.metadata().ok());
        let Some(size) = size.map(|metadata| metadata.len()) else {
            return;
        };
        if counted.writes_in_flight > 0 {
            return;
        }
        let before = std::mem::replace(&mut counted.size, size);
        self.add(state, difference(size, before));
    }

    /// Forgets the files that only this account still holds, and gives back what removed ones took.
    fn settle(&self, state: &mut State) {
        state.others.retain(|other| other.strong_count() > 0);
        let mut change = 0;
        state.counted.retain(|_, counted| {
            let (held, closed): (Vec<_>, Vec<_>) = std::mem::take(&mut counted.handles)
                .into_iter()
                .partition(|file| Arc::strong_count(file) > 1);
            counted.handles = held;
            if !counted.handles.is_empty() {
                return true;
            }
            // Nobody writes to it any more, whatever was on its way when its instance ended.
            let metadata = closed.first().and_then(|file| file.metadata().ok());
            let size = metadata.map_or(0, |metadata| {
                if metadata.nlink() == 0 {
                    0
                } else {
                    metadata.len()
                }
            });
            change += difference(size, counted.size);
            false
        });
        self.add(state, change);
    }

    fn add(&self, state: &mut State, bytes: i64) {
        let before = grown(state.bytes);
        state.bytes = state.bytes.saturating_add(bytes);
        let after = grown(state.bytes);
        if after > before {
            self.memory.charge(after - before);
        } else {
            self.memory.give_back(before - after);
        }
    }
}

impl Drop for FileAccount {
    fn drop(&mut self) {
        let bytes = grown(self.state().bytes);
        self.memory.give_back(bytes);
    }
}

impl fmt::Debug for FileAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileAccount")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl State {
    fn open(&self) -> usize {
        let counted: usize = self.counted.values().map(|file| file.handles.len()).sum();
        counted + self.others.len()
    }
}

/// Where a write ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// At this offset.
    At(u64),
    /// So many bytes after the end of the file.
    Further(u64),
}

/// A write on its way.
pub(super) struct Growth {
    account: Arc<FileAccount>,
    inode: Inode,
}

impl Drop for Growth {
    fn drop(&mut self) {
        let mut state = self.account.state();
        if let Some(counted) = state.counted.get_mut(&self.inode) {
            counted.writes_in_flight = counted.writes_in_flight.saturating_sub(1);
        }
        self.account.measure(&mut state, self.inode);
    }
}

/// The longest file that a system can name.
const LENGTH_MAX: u64 = i64::MAX.unsigned_abs();

/// `ENOSPC`, "No space left on device": what programs know to handle.
const NO_SPACE: i32 = 28;

fn grown(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn difference(after: u64, before: u64) -> i64 {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    after.saturating_sub(i64::try_from(before).unwrap_or(i64::MAX))
}

/// The account of one instance; settles it when the instance has gone, with everything it held open.
pub(crate) struct FileShare(Arc<FileAccount>);

impl FileShare {
    pub(crate) fn new(account: Arc<FileAccount>) -> Self {
        Self(account)
    }

    pub(crate) fn account(&self) -> &Arc<FileAccount> {
        &self.0
    }
}

impl Drop for FileShare {
    fn drop(&mut self) {
        self.0.forget_closed();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// An account of 100 bytes with one open file.
    fn with_a_file() -> (TempDir, Arc<FileAccount>, Arc<File>) {
        let directory = tempfile::tempdir().unwrap();
        let limits = FileLimits {
            bytes_max: 100,
            entries_max: 1,
            open_max: 1,
        };
        let account = FileAccount::new(limits, MemoryAccount::new(1 << 20), |_| ());
        let file = Arc::new(File::create(directory.path().join("file")).unwrap());
        account.opened(&file, None).unwrap();
        (directory, account, file)
    }

    #[test]
    fn a_removed_file_counts_until_nobody_holds_it() {
        let (directory, account, file) = with_a_file();
        let growth = account.grow(&file, End::At(60)).unwrap();
        file.set_len(60).unwrap();
        drop(growth);
        fs::remove_file(directory.path().join("file")).unwrap();
        assert_eq!((account.bytes(), account.memory.used()), (60, 60));
        drop(file);
        assert_eq!((account.bytes(), account.memory.used()), (0, 0));
    }

    #[test]
    fn the_bound_itself_is_taken_and_one_byte_more_is_not() {
        let (_directory, account, file) = with_a_file();
        assert!(account.grow(&file, End::At(101)).is_err());
        let growth = account.grow(&file, End::Further(100)).unwrap();
        assert!(account.grow(&file, End::Further(1)).is_err());
        drop(growth);
        assert!(!account.may_open());
        drop(file);
        assert!(account.may_open());
    }

    #[test]
    fn a_write_that_fails_leaves_nothing() {
        let (_directory, account, file) = with_a_file();
        drop(account.grow(&file, End::At(60)).unwrap());
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn cutting_a_file_while_it_is_written_gains_nothing() {
        let (_directory, account, file) = with_a_file();
        let write = account.grow(&file, End::At(80)).unwrap();
        let cut = account.grow(&file, End::At(0)).unwrap();
        file.set_len(0).unwrap();
        drop(cut);
        assert_eq!(account.bytes(), 80, "the write is still on its way");
        file.set_len(80).unwrap();
        drop(write);
        assert_eq!(account.bytes(), 80);
    }
}
