//! The data directory: what lies where, and the lock that gives it one owner.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The owner's process id has at most this many digits.
const OWNER_BYTES_MAX: u64 = 32;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process owns it.
    #[error("data dir {} is used by another dyno (pid {pid})\n  hint: stop that process, or choose another directory with --data-dir", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The owner, `?` when it left no number.
        pid: String,
    },
    /// The disk said no.
    #[error("data dir {} cannot be used: {action} did not work", .path.display())]
    Io {
        /// The directory, or what is in it.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// Why it did not work.
        #[source]
        source: io::Error,
    },
}

/// An owned data directory. The lock is the kernel's: it ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    lock: File,
}

impl DataDir {
    /// Makes the directory if needed and takes its lock.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        create_private(root)?;
        let root = root
            .canonicalize()
            .map_err(io_error(root, "finding its real path"))?;
        let lock = lock(&root)?;
        let data_dir = Self { root, lock };
        for folder in [
            data_dir.sources(),
            data_dir.outputs(),
            data_dir.build_work(),
            data_dir.build_caches(),
        ] {
            create_private(&folder)?;
        }
        Ok(data_dir)
    }

    /// Lets another owner in, before the last handle on this is gone.
    pub fn unlock(&self) {
        // What cannot be unlocked is when its file is closed.
        let _ = self.lock.unlock();
    }

    /// When the directory was first used, as far as its files tell.
    pub fn since(&self) -> SystemTime {
        let made = fs::metadata(self.sealing_key()).and_then(|metadata| metadata.modified());
        made.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub fn store_file(&self) -> PathBuf {
        self.root.join("state.sqlite3")
    }

    pub fn sealing_key(&self) -> PathBuf {
        self.root.join("secret.key")
    }

    pub fn api_key(&self) -> PathBuf {
        self.root.join("api-key")
    }

    /// The key of the installation's certificate authority.
    pub fn authority_key(&self) -> PathBuf {
        self.root.join("ca.key")
    }

    /// The certificate of that authority, for clients to trust.
    pub fn authority_certificate(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    /// Where a running platform says how it is reached.
    pub fn api_url(&self) -> PathBuf {
        self.root.join("api-url")
    }

    pub fn settings(&self) -> PathBuf {
        self.root.join("dyno.toml")
    }

    pub fn slugs(&self) -> PathBuf {
        self.root.join("slugs")
    }

    pub fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    pub fn outputs(&self) -> PathBuf {
        self.root.join("outputs")
    }

    pub fn build_work(&self) -> PathBuf {
        self.root.join("build-work")
    }

    pub fn build_caches(&self) -> PathBuf {
        self.root.join("build-caches")
    }

    pub fn buildpacks(&self) -> PathBuf {
        self.root.join("buildpacks")
    }

    pub fn toolchains(&self) -> PathBuf {
        self.root.join("toolchains")
    }
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io {
        path,
        action,
        source,
    }
}

fn create_private(path: &Path) -> Result<(), DataDirError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error(path, "creating it"))
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join("dyno.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error(&path, "opening the lock file"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The owner writes its number right after locking; a reader in between finds none.
            let read = file.take(OWNER_BYTES_MAX).read_to_string(&mut pid);
            let pid = match (read, pid.trim()) {
                (Ok(_), pid) if !pid.is_empty() => pid.to_owned(),
                _ => "?".to_owned(),
            };
            return Err(DataDirError::Locked {
                path: root.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(source)) => return Err(io_error(&path, "locking it")(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(io_error(&path, "writing the owner's number"))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{DataDir, DataDirError};

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DataDir::open(folder.path()).expect("locked");
        match DataDir::open(folder.path()) {
            Err(error @ DataDirError::Locked { .. }) => {
                let text = error.to_string();
                let expected = format!("is used by another dyno (pid {})", std::process::id());
                assert!(text.contains(&expected), "{text}");
            }
            other => panic!("expected the lock to hold, got {other:?}"),
        }
        drop(first);
        DataDir::open(folder.path()).expect("free again");
    }
}
