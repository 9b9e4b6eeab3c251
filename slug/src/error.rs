//! What can go wrong with reading or writing a slug.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    digest::{Digest, SlugDigest},
    manifest::ManifestError,
};

/// A slug was not read: refused, absent, or the disk failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The slug's bytes break a rule of the format.
    #[error("slug {slug} is refused: {entry}: {problem}")]
    Refused {
        /// Which slug: its file name or digest.
        slug: String,
        /// Which entry of it.
        entry: String,
        /// What is wrong.
        problem: Problem,
    },
    /// The store has no such slug.
    #[error("slug {digest} is not in the store\n  hint: import it, or build the app again")]
    NotFound {
        /// The slug asked for.
        digest: SlugDigest,
    },
    /// The machine failed, not the slug.
    #[error("slug {slug}: {action} did not work")]
    Io {
        /// Which slug, or the store.
        slug: String,
        /// What was being done.
        action: String,
        /// Why it did not work.
        source: io::Error,
    },
}

impl ReadError {
    /// Whether the slug's own bytes are at fault: reading it again gives the same answer.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the slug is simply not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Refused { .. } => false,
        }
    }
}

/// Why an entry of a slug is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// Absolute, with `..`, empty, not UTF-8 or with a NUL byte.
    #[error("the path is not allowed: {0}")]
    Path(&'static str),
    /// A symbolic link that leaves the tree, or could.
    #[error("the link points to \"{target}\", which is not inside the tree")]
    LinkTarget {
        /// Where it points.
        target: String,
    },
    /// Its parent is not a directory: writing it would go through a link or a file.
    #[error("it lies below \"{parent}\", which is not a directory")]
    NotInDirectory {
        /// The parent.
        parent: String,
    },
    /// A kind of entry that slugs never have: hard link, device, pipe, sparse file.
    #[error("it is {0}; a slug has only files, directories and symbolic links")]
    Kind(&'static str),
    /// A set-user-id or set-group-id bit.
    #[error("it has a set-user-id or set-group-id bit")]
    SetId,
    /// Two entries with one name.
    #[error("it appears twice")]
    Duplicate,
    /// An entry that nothing refers to.
    #[error("nothing in the slug refers to it")]
    Unexpected,
    /// Something the slug refers to is not in it.
    #[error("it is missing")]
    Missing,
    /// More or fewer bytes than declared.
    #[error("{actual} bytes, but {declared} were declared")]
    Size {
        /// What was declared.
        declared: u64,
        /// What is there.
        actual: u64,
    },
    /// Other bytes than declared.
    #[error("its bytes have the digest {actual}, but {expected} was declared")]
    Digest {
        /// What was declared.
        expected: Digest,
        /// What the bytes have.
        actual: Digest,
    },
    /// More than [`crate::Limits`] allow.
    #[error("too large: {what} is over the limit of {limit}")]
    Limit {
        /// What was measured.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The bytes end too early.
    #[error("the data ends too early")]
    Truncated,
    /// No tar archive, or not zstd.
    #[error("the archive is damaged: {0}")]
    Archive(String),
    /// The OCI documents are not those of a slug.
    #[error("the image is not a slug: {0}")]
    Image(String),
    /// The slug manifest is refused.
    #[error("{0}")]
    Manifest(ManifestError),
}

/// A slug was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A file or link of the source cannot be in a slug.
    #[error("{path} cannot be in a slug: {problem}")]
    Source {
        /// Which one, as a path on this machine.
        path: PathBuf,
        /// Why.
        problem: Problem,
    },
    /// The parts do not make a valid manifest.
    #[error("the slug's parts do not fit together: {0}")]
    Manifest(ManifestError),
    /// The whole slug is too large.
    #[error(
        "the slug would be {size} bytes, at most {limit} are allowed\n  hint: leave out what the app does not need at run time with a .slugignore file"
    )]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A source changed while it was read.
    #[error(
        "{path} changed while the slug was made\n  hint: build again when nothing writes to it"
    )]
    Changed {
        /// Which one.
        path: PathBuf,
    },
    /// The machine failed.
    #[error("{action} {path} did not work")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
}

/// A failure inside the reader, before it is known which slug to name.
#[derive(Debug)]
pub(crate) enum Fault {
    Refused { entry: String, problem: Problem },
    Io { action: String, source: io::Error },
}

impl Fault {
    pub(crate) fn refused(entry: impl Into<String>, problem: Problem) -> Self {
        Self::Refused {
            entry: entry.into(),
            problem,
        }
    }

    /// A failure of this machine while doing `action`.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// A failure to read `entry`: the machine's when the operating system reported it, the data's
    /// when the decoder did.
    pub(crate) fn reading(entry: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let entry = entry.into();
        move |source| {
            if source.raw_os_error().is_some() {
                return Self::Io {
                    action: format!("reading {entry}"),
                    source,
                };
            }
            let problem = match source.kind() {
                io::ErrorKind::UnexpectedEof => Problem::Truncated,
                _ => Problem::Archive(source.to_string()),
            };
            Self::Refused { entry, problem }
        }
    }

    /// Names the slug.
    pub(crate) fn of(self, slug: &str) -> ReadError {
        let slug = slug.to_owned();
        match self {
            Self::Refused { entry, problem } => ReadError::Refused {
                slug,
                entry,
                problem,
            },
            Self::Io { action, source } => ReadError::Io {
                slug,
                action,
                source,
            },
        }
    }
}
