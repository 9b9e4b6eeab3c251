//! The installation's own certificate authority, which vouches for the platform's port on this machine.
//!
//! Only its key is state. The certificate of the authority follows from the key and is a file for clients to trust; what
//! the port shows is issued in memory at each start, and again before it ends, so its key is never on a disk. The
//! authority may vouch for this machine's own names only: who steals its key cannot be anybody else's bank.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dyno_router::{Identity, IdentityError, Rendezvous, Tls};
use jiff::civil::Date;
use jiff::{Span, tz::Offset};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
    date_time_ymd,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::limits::{
    CERTIFICATE_CHECK_PERIOD, CERTIFICATE_LIFETIME_DAYS, CERTIFICATE_RENEWAL_DAYS,
};
use crate::secret::{SecretError, read_or_create, write_private};

/// The names that clients of the API, of git and of one-off dynos use on this machine.
///
/// Not `*.localhost`: OpenSSL, Node.js and browsers match no wildcard directly below a top-level name, and rustls refuses
/// a certificate that has one where names are constrained. So apps have no name here.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The authority's key file is unusable.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The key file holds no key.
    #[error(
        "the key file {} is damaged\n  hint: remove it; a new authority is made, which clients have to be told of (dyno env)",
        .path.display()
    )]
    KeyDamaged {
        /// Its path.
        path: PathBuf,
        /// Why it is no key.
        #[source]
        source: rcgen::Error,
    },
    /// The authority's certificate cannot be read or written.
    #[error("the certificate {} cannot be kept", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be served.
    #[error("a certificate that was made cannot be served")]
    Serve(#[from] IdentityError),
}

/// Issues certificates for this machine's own names.
pub(crate) struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateAuthority(..)")
    }
}

impl CertificateAuthority {
    /// Reads the key, or makes it (mode 0600), and sees to it that `certificate_file` is the certificate of that key.
    pub fn open_or_create(
        key_file: &Path,
        certificate_file: &Path,
    ) -> Result<Self, CertificateError> {
        // Made here, although it may not be needed: the closure below has no way to fail.
        let fresh = KeyPair::generate()?.serialize_pem();
        let pem = read_or_create(key_file, || fresh)?;
        let key = KeyPair::from_pem(&pem).map_err(|source| CertificateError::KeyDamaged {
            path: key_file.to_owned(),
            source,
        })?;
        let parameters = authority(&key);
        let failed = |source| CertificateError::File {
            path: certificate_file.to_owned(),
            source,
        };
        let known = match fs::read(certificate_file) {
            Ok(pem) => is_of(&pem, &key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        if !known {
            let certificate = parameters.self_signed(&key)?;
            write_private(certificate_file, certificate.pem().as_bytes()).map_err(failed)?;
        }
        Ok(Self {
            issuer: Issuer::new(parameters, key),
        })
    }

    /// A fresh key and certificate for the port, good from the day before `today`: clocks differ.
    pub fn issue(&self, today: Date) -> Result<Identity, CertificateError> {
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        leaf.distinguished_name
            .push(DnType::CommonName, "dyno on this machine");
        let midnight = |date: Date| {
            // A civil date has a month of 1..=12 and a day of it.
            let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
            date_time_ymd(date.year().into(), month, day)
        };
        leaf.not_before = midnight(days_after(today, -1));
        leaf.not_after = midnight(days_after(today, CERTIFICATE_LIFETIME_DAYS));
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &self.issuer)?;
        let identity =
            Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
        Ok(identity)
    }
}

/// Everything about the authority follows from its key, so that what it issues after a restart fits the certificate
/// that clients trust.
fn authority(key: &KeyPair) -> CertificateParams {
    let digest = Sha256::digest(key.subject_public_key_info());
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    // Two installations on one machine are two issuers, by name as well.
    parameters.distinguished_name.push(
        DnType::CommonName,
        format!("dyno local authority {}", hex::encode(&digest[..4])),
    );
    parameters.not_before = date_time_ymd(2026, 1, 1);
    // RFC 5280, 4.1.2.5: no well-defined expiration date. Its end would cut off clients that nobody looks after.
    parameters.not_after = date_time_ymd(9999, 12, 31);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                std::net::Ipv6Addr::LOCALHOST.octets(),
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    parameters
}

/// Whether a certificate's bytes have this public key in them; a file of another key, or no certificate, has not.
fn is_of(pem: &[u8], key: &KeyPair) -> bool {
    let text = String::from_utf8_lossy(pem);
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    let public = key.subject_public_key_info();
    STANDARD
        .decode(body)
        .is_ok_and(|der| der.windows(public.len()).any(|part| part == public))
}

/// The day by the clock of this machine, in UTC.
fn today() -> Date {
    Offset::UTC.to_datetime(jiff::Timestamp::now()).date()
}

/// What the port shows now, and who makes the next.
#[derive(Debug)]
pub(crate) struct PortCertificate {
    authority: CertificateAuthority,
    tls: Tls,
    issued: Date,
}

impl PortCertificate {
    /// The first one. Connections that begin with a token go to `rendezvous`.
    pub fn new(
        authority: CertificateAuthority,
        rendezvous: Arc<dyn Rendezvous>,
    ) -> Result<Self, CertificateError> {
        let issued = today();
        let tls = Tls::new(authority.issue(issued)?).with_rendezvous(rendezvous);
        Ok(Self {
            authority,
            tls,
            issued,
        })
    }

    /// What the router serves TLS with.
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Shows a new one before the old one ends, until it is stopped.
    pub async fn keep_renewed(mut self, stop: CancellationToken) {
        loop {
            // Days are compared, instead of one long sleep: a machine that was suspended has lost the time.
            tokio::select! {
                () = tokio::time::sleep(CERTIFICATE_CHECK_PERIOD) => {}
                () = stop.cancelled() => return,
            }
            let now = today();
            if !is_due(self.issued, now) {
                continue;
            }
            match self.authority.issue(now) {
                Ok(identity) => {
                    self.tls.set_identity(identity);
                    self.issued = now;
                }
                Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
            }
        }
    }
}

/// A clock that was set back makes a certificate that is not valid yet: as good a reason as one that ends.
fn is_due(issued: Date, now: Date) -> bool {
    now < issued || now >= days_after(issued, CERTIFICATE_LIFETIME_DAYS - CERTIFICATE_RENEWAL_DAYS)
}

fn days_after(date: Date, days: i32) -> Date {
    date.saturating_add(Span::new().days(days))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use jiff::civil::date;

    use super::{CertificateAuthority, CertificateError, days_after, is_due};
    use crate::limits::{CERTIFICATE_LIFETIME_DAYS, CERTIFICATE_RENEWAL_DAYS};

    #[test]
    fn the_authority_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, certificate) = (folder.path().join("ca.key"), folder.path().join("ca.pem"));
        CertificateAuthority::open_or_create(&key, &certificate).expect("made");
        let (first_key, first) = (
            fs::read(&key).expect("a key"),
            fs::read(&certificate).expect("a certificate"),
        );
        let mode = fs::metadata(&key).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        CertificateAuthority::open_or_create(&key, &certificate).expect("opened");
        assert_eq!(fs::read(&key).expect("a key"), first_key);
        assert_eq!(fs::read(&certificate).expect("a certificate"), first);
    }

    #[test]
    fn a_certificate_that_is_not_the_keys_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, certificate) = (folder.path().join("ca.key"), folder.path().join("ca.pem"));
        CertificateAuthority::open_or_create(&key, &certificate).expect("made");
        let first = fs::read(&certificate).expect("a certificate");
        fs::remove_file(&key).expect("removed");
        CertificateAuthority::open_or_create(&key, &certificate).expect("made again");
        assert_ne!(fs::read(&certificate).expect("a certificate"), first);
        fs::write(&certificate, "no certificate").expect("written");
        CertificateAuthority::open_or_create(&key, &certificate).expect("made again");
        assert!(
            fs::read(&certificate)
                .expect("a certificate")
                .starts_with(b"-----BEGIN")
        );
    }

    #[test]
    fn a_damaged_key_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("ca.key");
        fs::write(&key, "zz").expect("written");
        let error = CertificateAuthority::open_or_create(&key, &folder.path().join("ca.pem"))
            .expect_err("refused");
        assert!(matches!(error, CertificateError::KeyDamaged { .. }));
        assert!(error.to_string().contains("ca.key"), "{error}");
    }

    #[test]
    fn what_it_issues_can_be_served_at_either_end_of_the_calendar() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, certificate) = (folder.path().join("ca.key"), folder.path().join("ca.pem"));
        let authority = CertificateAuthority::open_or_create(&key, &certificate).expect("made");
        for day in [date(1970, 1, 1), date(2028, 2, 29), date(9999, 12, 31)] {
            authority.issue(day).expect("an identity");
        }
    }

    #[test]
    fn it_is_renewed_before_its_end_and_not_earlier() {
        let issued = date(2026, 11, 30);
        let first = days_after(issued, CERTIFICATE_LIFETIME_DAYS - CERTIFICATE_RENEWAL_DAYS);
        assert!(!is_due(issued, issued));
        assert!(!is_due(issued, days_after(first, -1)));
        assert!(is_due(issued, first));
        assert!(
            is_due(issued, days_after(issued, -1)),
            "the clock was set back"
        );
    }
}
