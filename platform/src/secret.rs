//! Encryption at rest, and the key files that only the platform's user may read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

/// First byte of sealed bytes: which cipher and key. One version exists.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// A key file is 64 hex digits, an API key 41 characters, a private key some 240; more is not a key.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// Why a secret cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The key file cannot be read or made.
    #[error("the key file {} cannot be used", .path.display())]
    KeyFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key file holds no key.
    #[error("the key file {} is damaged: {reason}\n  hint: restore it from a backup; without it the config vars cannot be read", .path.display())]
    KeyDamaged {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Sealed bytes that this key did not seal for this place.
    #[error("sealed data cannot be opened: it is damaged or was sealed with another key")]
    Sealed,
}

/// Seals and opens secrets with the installation's key.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    /// Derived from the key, for [`Sealer::fingerprint`].
    fingerprint_key: [u8; 32],
}

impl Sealer {
    /// Reads the key file, or makes it (mode 0600).
    pub fn open_or_create(path: &Path) -> Result<Self, SecretError> {
        let text = read_or_create(path, || hex::encode(rand::random::<[u8; KEY_BYTES]>()))?;
        let damaged = |reason| SecretError::KeyDamaged {
            path: path.to_owned(),
            reason,
        };
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(&text, &mut key)
            .map_err(|_| damaged("it is not 64 hexadecimal digits"))?;
        Ok(Self::from_key(&key))
    }

    fn from_key(key: &[u8; KEY_BYTES]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"dyno fingerprint key");
        hash.update(key);
        Self {
            cipher: XChaCha20Poly1305::new(&(*key).into()),
            fingerprint_key: hash.finalize().into(),
        }
    }

    /// Encrypts `plain` for `place`: sealed bytes moved to another place cannot be opened.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SecretError> {
        // 24 random bytes never repeat in practice, which a 12 byte nonce could not promise.
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: plain,
            aad: place.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SecretError::Sealed)?;
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Decrypts what [`Sealer::seal`] made for the same `place`.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let Some((&FORMAT, rest)) = sealed.split_first() else {
            return Err(SecretError::Sealed);
        };
        let Some((nonce, body)) = rest.split_first_chunk::<NONCE_BYTES>() else {
            return Err(SecretError::Sealed);
        };
        let payload = Payload {
            msg: body,
            aad: place.as_bytes(),
        };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SecretError::Sealed)
    }

    /// A digest of secret bytes that says nothing about them to whoever has not the key.
    pub fn fingerprint(&self, secret: &[u8]) -> [u8; 32] {
        // Both sides fixed in length before hashing, so no extension of one message is another.
        let inner: [u8; 32] = Sha256::digest(secret).into();
        let mut hash = Sha256::new();
        hash.update(self.fingerprint_key);
        hash.update(inner);
        hash.finalize().into()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// The key that clients of the API show.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Reads the key file, or makes it (mode 0600).
    pub fn open_or_create(path: &Path) -> Result<Self, SecretError> {
        let text = read_or_create(path, || format!("HRKU-{}", uuid::Uuid::new_v4()))?;
        if text.len() < 16 {
            let reason = "an API key has at least 16 characters";
            return Err(SecretError::KeyDamaged {
                path: path.to_owned(),
                reason,
            });
        }
        Ok(Self(text))
    }

    /// The key itself, to hand to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on how much of `shown` is right.
    pub fn matches(&self, shown: &str) -> bool {
        // Digests are compared, not texts: their common prefix tells nothing about the key's.
        let expected = Sha256::digest(self.0.as_bytes());
        let shown = Sha256::digest(shown.as_bytes());
        expected
            .iter()
            .zip(shown.iter())
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Reads a small secret file; makes it from `fresh` when it does not exist.
pub(crate) fn read_or_create(
    path: &Path,
    fresh: impl FnOnce() -> String,
) -> Result<String, SecretError> {
    let failed = |source| SecretError::KeyFile {
        path: path.to_owned(),
        source,
    };
    match fs::File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(KEY_FILE_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(failed)?;
            // A copy or an editor may have widened the mode: narrow it again rather than refuse to start.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
            let text = text.trim().to_owned();
            if text.is_empty() {
                return Err(SecretError::KeyDamaged {
                    path: path.to_owned(),
                    reason: "it is empty",
                });
            }
            Ok(text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = fresh();
            write_private(path, text.as_bytes()).map_err(failed)?;
            Ok(text)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file whole or not at all, readable by its owner only.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{ApiKey, Sealer, SecretError};

    #[test]
    fn sealed_bytes_open_in_their_place_only() {
        let sealer = Sealer::from_key(&[7; 32]);
        let secret = sealer.seal("config/a", b"s3cret").expect("sealed");
        assert!(!secret.windows(6).any(|window| window == b"s3cret"));
        assert_eq!(sealer.open("config/a", &secret).expect("opened"), b"s3cret");
        assert!(matches!(
            sealer.open("config/b", &secret),
            Err(SecretError::Sealed)
        ));
        assert!(matches!(
            Sealer::from_key(&[8; 32]).open("config/a", &secret),
            Err(SecretError::Sealed)
        ));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let sealer = Sealer::from_key(&[7; 32]);
        let secret = sealer.seal("p", b"value").expect("sealed");
        for index in 0..secret.len() {
            let mut changed = secret.clone();
            changed[index] ^= 1;
            assert!(sealer.open("p", &changed).is_err(), "byte {index}");
            assert!(
                sealer.open("p", &secret[..index]).is_err(),
                "length {index}"
            );
        }
    }

    #[test]
    fn key_files_are_private_and_stable() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api-key");
        let key = ApiKey::open_or_create(&path).expect("made");
        let mode = std::fs::metadata(&path)
            .expect("a file")
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(ApiKey::open_or_create(&path).expect("read"), key);
        assert!(key.matches(key.reveal()) && !key.matches("HRKU-x") && !key.matches(""));
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
    }

    #[test]
    fn a_damaged_key_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.key");
        std::fs::write(&path, "zz").expect("written");
        let error = Sealer::open_or_create(&path)
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("secret.key") && error.contains("hint:"),
            "{error}"
        );
    }
}
