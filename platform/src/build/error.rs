//! Why a build was not accepted, or its source not taken.

use std::io;

use crate::limits::SOURCE_ARCHIVE_BYTES_MAX;
use crate::store::StoreError;

/// Why a source or a build was refused; nothing was built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("Too many builds wait already ({waiting}); try again when one has ended.")]
    QueueFull { waiting: usize },
    #[error("The source archive has more than {SOURCE_ARCHIVE_BYTES_MAX} bytes.")]
    TooLarge,
    /// What is wrong with the source, for its owner.
    #[error("{0}")]
    Source(String),
    #[error("{action} did not work")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BuildError {
    pub fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
