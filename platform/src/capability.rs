//! Addresses that are their own permission: sealed, expiring tokens for uploads, streams and logs.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::secret::{Sealer, SecretError};

/// A token's text is short; more was not made here.
const TOKEN_BYTES_MAX: usize = 2_048;

/// What a token permits; each purpose is sealed for itself, so none can be used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Uploading one source archive.
    SourcePut,
    /// Reading that archive back, and building it.
    SourceGet,
    /// Reading a build's output.
    BuildOutput,
    /// Reading a release command's output.
    ReleaseOutput,
    /// Reading an app's log.
    LogSession,
}

impl Purpose {
    fn place(self) -> &'static str {
        match self {
            Self::SourcePut => "token/source-put",
            Self::SourceGet => "token/source-get",
            Self::BuildOutput => "token/build-output",
            Self::ReleaseOutput => "token/release-output",
            Self::LogSession => "token/log-session",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Claim<T> {
    until: i64,
    what: T,
}

/// Makes a token for `what`, good for `lifetime`.
pub(crate) fn issue<T: Serialize>(
    sealer: &Sealer,
    purpose: Purpose,
    what: &T,
    lifetime: Duration,
) -> Result<String, SecretError> {
    let claim = Claim {
        until: Timestamp::now().after(lifetime).as_second(),
        what,
    };
    let plain = serde_json::to_vec(&claim).map_err(|_| SecretError::Sealed)?;
    Ok(URL_SAFE_NO_PAD.encode(sealer.seal(purpose.place(), &plain)?))
}

/// Reads a token back; `None` when it is expired, for another purpose, or not ours.
pub(crate) fn redeem<T: DeserializeOwned>(
    sealer: &Sealer,
    purpose: Purpose,
    token: &str,
) -> Option<T> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let plain = sealer.open(purpose.place(), &bytes).ok()?;
    let claim: Claim<T> = serde_json::from_slice(&plain).ok()?;
    (claim.until >= Timestamp::now().as_second()).then_some(claim.what)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Purpose, issue, redeem};
    use crate::secret::Sealer;

    #[test]
    fn a_token_serves_its_purpose_only_and_cannot_be_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let sealer = Sealer::open_or_create(&folder.path().join("key")).expect("a key");
        let token =
            issue(&sealer, Purpose::SourcePut, &"id-1", Duration::from_mins(1)).expect("issued");
        assert_eq!(
            redeem::<String>(&sealer, Purpose::SourcePut, &token).as_deref(),
            Some("id-1")
        );
        assert_eq!(redeem::<String>(&sealer, Purpose::SourceGet, &token), None);
        assert_eq!(
            redeem::<String>(&sealer, Purpose::SourcePut, &token[1..]),
            None
        );
        assert_eq!(
            redeem::<String>(&sealer, Purpose::SourcePut, &"A".repeat(100_000)),
            None
        );
    }

    #[test]
    fn a_token_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let sealer = Sealer::open_or_create(&folder.path().join("key")).expect("a key");
        let claim = serde_json::json!({ "until": 1, "what": "id-1" }).to_string();
        let bytes = sealer
            .seal(Purpose::SourcePut.place(), claim.as_bytes())
            .expect("sealed");
        let token = super::Engine::encode(&super::URL_SAFE_NO_PAD, bytes);
        assert_eq!(redeem::<String>(&sealer, Purpose::SourcePut, &token), None);
    }
}
