//! The certificate authorities that guests' TLS connections trust.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use thiserror::Error;
use tokio_rustls::rustls;

/// Certificate authorities: Mozilla's, compiled in, so that dyno works in an empty container; and the operator's own.
///
/// The system's whole store is not read: where it is differs between distributions, and what a distribution adds to
/// Mozilla's list is rarely meant for strangers' code. Clones share the certificates.
#[derive(Clone)]
pub struct TrustedRoots {
    store: Arc<RootCertStore>,
}

/// A file of certificates that cannot be used.
#[derive(Debug, Error)]
#[error("the certificates in {} cannot be used: {reason}\n  hint: the file holds certificates in PEM form", .path.display())]
pub struct TrustedRootsError {
    path: PathBuf,
    reason: String,
}

impl TrustedRoots {
    /// Mozilla's authorities, and those in a file of PEM certificates (which `SSL_CERT_FILE` usually names).
    ///
    /// # Errors
    /// [`TrustedRootsError`] when the file cannot be read, or has no certificate in it.
    pub fn with_file(path: &Path) -> Result<Self, TrustedRootsError> {
        let failed = |reason: String| TrustedRootsError {
            path: path.to_owned(),
            reason,
        };
        let mut store = RootCertStore::clone(&Self::default().store);
        let mut found = 0;
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            store
                .add(certificate)
                .map_err(|error| failed(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(failed("there is no certificate in it".into()));
        }
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// Mozilla's authorities, and those in the file that the environment variable `SSL_CERT_FILE` names, if it does.
    ///
    /// # Errors
    /// As [`TrustedRoots::with_file`].
    pub fn from_environment() -> Result<Self, TrustedRootsError> {
        match std::env::var_os("SSL_CERT_FILE") {
            Some(file) if !file.is_empty() => Self::with_file(Path::new(&file)),
            _ => Ok(Self::default()),
        }
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        self.store.clone()
    }
}

impl Default for TrustedRoots {
    fn default() -> Self {
        static MOZILLA: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
            Arc::new(RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            })
        });
        Self {
            store: MOZILLA.clone(),
        }
    }
}

impl fmt::Debug for TrustedRoots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("TrustedRoots")
            .field(&self.store.len())
            .finish()
    }
}
