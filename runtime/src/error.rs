//! What can go wrong, by operation.

use crate::body::{BoxError, RequestBody};
use std::fmt;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A runtime that could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The WebAssembly engines could not be made.
    #[error("the WebAssembly engine could not be started: {0}")]
    Engine(String),
    /// The compiled-code cache could not be opened.
    #[error(transparent)]
    Cache(#[from] dyno_sandbox::CodeCacheError),
    /// A directory or thread could not be made.
    #[error("{what} could not be set up")]
    Io {
        /// The directory or thread.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A process type that cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The slug has no such process type.
    #[error("the slug has no process type \"{name}\"\n  it has: {known}")]
    NoSuchProcess {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The component's file could not be read.
    #[error("the component {path} could not be read")]
    Read {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The slug is not what its manifest says.
    #[error("the slug is damaged: {0}")]
    Damaged(String),
    /// The component could not be compiled.
    #[error(transparent)]
    Code(#[from] dyno_sandbox::CodeCacheError),
    /// The component cannot be linked.
    #[error(transparent)]
    Guest(#[from] dyno_sandbox::GuestError),
    /// The background task that did the work was lost.
    #[error("loading was interrupted: {0}")]
    Interrupted(String),
}

/// A request that got no response.
#[non_exhaustive]
pub enum CallError {
    /// The dyno is not up: the request is handed back untouched, for another dyno.
    NotUp(Box<http::Request<RequestBody>>),
    /// The dyno's queue is full (H11).
    QueueFull,
    /// The dyno rests, and the host has no memory left to start it (H11).
    HostFull,
    /// The guest ended, trapped or returned without a response (H13).
    NoResponse {
        /// What happened, for the log.
        reason: String,
    },
    /// The guest did not answer in [`crate::limits::REQUEST_TIMEOUT`].
    Timeout,
    /// The host could not run the guest (H99).
    Internal(BoxError),
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp(_) => formatter.write_str("the dyno is not up"),
            Self::QueueFull => formatter.write_str("the dyno's queue is full"),
            Self::HostFull => formatter.write_str("the host has no memory left to start the dyno"),
            Self::NoResponse { reason } => write!(formatter, "the dyno gave no response: {reason}"),
            Self::Timeout => formatter.write_str("the dyno did not answer in time"),
            Self::Internal(error) => write!(formatter, "the dyno could not be run: {error}"),
        }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CallError({self})")
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Internal(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
