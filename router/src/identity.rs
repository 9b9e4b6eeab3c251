//! Who the router is to TLS clients: a certificate chain with its private key.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::body::BoxError;

/// The protocols that a client may choose from by ALPN, the preferred one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate chain with its private key, ready to be served.
///
/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. Sessions are resumed by tickets, whose keys rotate and
/// never leave this value: a client cannot resume what another identity began.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

/// Why PEM texts are no [`Identity`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain is no PEM text.
    #[error("the certificate chain is not valid PEM")]
    BrokenChain(#[source] BoxError),
    /// The chain has no certificate in it.
    #[error("the certificate chain is empty")]
    NoCertificate,
    /// The key is no PEM text of an unencrypted PKCS#8, PKCS#1 or SEC1 key.
    #[error("the private key is missing or not valid PEM")]
    BrokenKey(#[source] BoxError),
    /// The key is of another certificate or of no known kind.
    #[error("the certificate and the private key cannot be used together")]
    Unusable(#[source] BoxError),
}

impl Identity {
    /// Reads the chain (the leaf's certificate first) and the leaf's key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| IdentityError::BrokenChain(error.into()))?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| IdentityError::BrokenKey(error.into()))?;
        let config =
            configure(chain, key).map_err(|error| IdentityError::Unusable(error.into()))?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(crate) fn into_config(self) -> Arc<ServerConfig> {
        self.config
    }
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    // Named, because a process-wide default is whatever another library has set.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    // The client keeps its session, sealed: no table of ours that strangers fill or threads wait for.
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Identity, IdentityError};

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_chain_with_its_key_is_an_identity() {
        let (chain, key) = pair();
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    }

    #[test]
    fn a_chain_without_a_certificate_is_none() {
        let (_, key) = pair();
        let error = Identity::from_pem(b"", key.as_bytes()).unwrap_err();
        assert!(matches!(error, IdentityError::NoCertificate), "{error:?}");
        let cut = b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
        let error = Identity::from_pem(cut, key.as_bytes()).unwrap_err();
        assert!(matches!(error, IdentityError::BrokenChain(_)), "{error:?}");
    }

    #[test]
    fn a_key_must_be_there_and_the_certificates_own() {
        let (chain, _) = pair();
        let error = Identity::from_pem(chain.as_bytes(), chain.as_bytes()).unwrap_err();
        assert!(matches!(error, IdentityError::BrokenKey(_)), "{error:?}");
        let (_, other) = pair();
        let error = Identity::from_pem(chain.as_bytes(), other.as_bytes()).unwrap_err();
        assert!(matches!(error, IdentityError::Unusable(_)), "{error:?}");
    }
}
