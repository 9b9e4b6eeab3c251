//! SHA-256 digests, the names of everything in a slug.

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::limits::BUFFER_BYTES;

/// A SHA-256 digest, written `sha256:<64 lower-case hex digits>`.
///
/// ```
/// use dyno_slug::Digest;
/// let digest = Digest::of(b"");
/// assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
/// assert!(digest.to_string().starts_with("sha256:e3b0c44298fc1c14"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

/// A string that is no digest.
#[derive(Debug, Error)]
#[error("\"{text}\" is not a digest\n  hint: a digest is `sha256:` and 64 lower-case hex digits")]
pub struct ParseDigestError {
    /// What was given, cut to a readable length.
    pub text: String,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads `reader` to its end; answers the digest of the bytes with their number.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = DigestHasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let length = hasher.length();
        Ok((hasher.finish(), length))
    }

    /// The 64 hex digits without the algorithm: what files are named by.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads the 64 lower-case hex digits that [`Digest::hex`] writes.
    pub fn from_hex(text: &str) -> Result<Self, ParseDigestError> {
        let error = || ParseDigestError {
            text: text.chars().take(80).collect(),
        };
        // One spelling only: two names for one blob would be two files.
        if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("sha256:")
            .and_then(|hex| Self::from_hex(hex).ok())
            .ok_or_else(|| ParseDigestError {
                text: text.chars().take(80).collect(),
            })
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Which slug: the digest of its OCI manifest, from which every other byte of it follows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlugDigest(Digest);

impl SlugDigest {
    /// Names a slug by its OCI manifest's digest.
    pub fn new(manifest: Digest) -> Self {
        Self(manifest)
    }

    /// The OCI manifest's digest.
    pub fn as_digest(&self) -> &Digest {
        &self.0
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

impl fmt::Display for SlugDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for SlugDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl FromStr for SlugDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Hashes bytes as they come.
#[derive(Clone, Debug, Default)]
pub struct DigestHasher {
    state: Sha256,
    length: u64,
}

impl DigestHasher {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// How many bytes were added.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

impl Write for DigestHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes bytes on to `inner` and hashes what was really written.
#[derive(Debug)]
pub(crate) struct HashingWriter<W> {
    inner: W,
    hasher: DigestHasher,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: DigestHasher::new(),
        }
    }

    pub(crate) fn finish(self) -> (W, Digest, u64) {
        let length = self.hasher.length();
        (self.inner, self.hasher.finish(), length)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Passes bytes through from `inner` and hashes what was really read.
#[derive(Debug)]
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: DigestHasher,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: DigestHasher::new(),
        }
    }

    pub(crate) fn finish(self) -> (Digest, u64) {
        let length = self.hasher.length();
        (self.hasher.finish(), length)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = Digest::of(b"x");
        assert!(Digest::from_hex(&digest.hex().to_uppercase()).is_err());
        assert!(
            digest.hex().parse::<Digest>().is_err(),
            "the algorithm is part of it"
        );
        assert!("sha512:00".parse::<Digest>().is_err());
        assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn hashing_in_pieces_is_hashing_at_once() {
        let mut hasher = DigestHasher::new();
        hasher.update(b"he");
        hasher.update(b"llo");
        assert_eq!(hasher.length(), 5);
        assert_eq!(hasher.finish(), Digest::of(b"hello"));
        assert_eq!(
            Digest::of_reader(&b"hello"[..]).unwrap(),
            (Digest::of(b"hello"), 5)
        );
    }
}
