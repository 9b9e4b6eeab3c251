//! Who is waited for: tokens that let one client attach to one dyno, once and soon.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dyno_router::{Rendezvous, RendezvousStream, RendezvousToken, UnknownToken};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::{CLIENT_PATIENCE, SESSIONS_AWAITED_MAX};

/// Bytes of chance in a token.
const TOKEN_BYTES: usize = 32;

/// What is kept of a token. A stranger's guess is looked up by its digest: how far the look goes says something of
/// the digest, which the stranger cannot choose, and nothing of a token.
type TokenDigest = [u8; 32];

type Awaited = HashMap<TokenDigest, oneshot::Sender<RendezvousStream>>;

/// The clients that are waited for. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<Awaited>>);

/// As many are waited for as may be.
#[derive(Debug, thiserror::Error)]
#[error("{SESSIONS_AWAITED_MAX} one-off dynos wait for their clients already.")]
pub(crate) struct TooManySessions;

/// A client that has been told a token. Dropping this makes the token worthless.
pub(crate) struct AwaitedClient {
    digest: TokenDigest,
    stream: oneshot::Receiver<RendezvousStream>,
    patience: Duration,
    sessions: Sessions,
}

impl Sessions {
    /// Makes a token, and waits for who names it from now on.
    pub fn await_client(&self) -> Result<(String, AwaitedClient), TooManySessions> {
        self.await_client_for(CLIENT_PATIENCE)
    }

    /// The same, with another patience.
    pub fn await_client_for(
        &self,
        patience: Duration,
    ) -> Result<(String, AwaitedClient), TooManySessions> {
        let token = hex::encode(rand::random::<[u8; TOKEN_BYTES]>());
        let digest = digest(&token);
        let (sender, stream) = oneshot::channel();
        let mut awaited = self.lock();
        if awaited.len() >= SESSIONS_AWAITED_MAX {
            return Err(TooManySessions);
        }
        awaited.insert(digest, sender);
        let client = AwaitedClient {
            digest,
            stream,
            patience,
            sessions: self.clone(),
        };
        Ok((token, client))
    }

    fn lock(&self) -> MutexGuard<'_, Awaited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

impl Rendezvous for Sessions {
    fn join(&self, token: RendezvousToken, stream: RendezvousStream) -> Result<(), UnknownToken> {
        // Taken out, so that it is used once.
        let waiting = self.lock().remove(&digest(token.as_str()));
        match waiting {
            Some(waiting) => waiting.send(stream).map_err(UnknownToken),
            None => Err(UnknownToken(stream)),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sessions").field(&self.lock().len()).finish()
    }
}

impl AwaitedClient {
    /// Waits for it as long as its token is good; `None` when it has not come.
    pub async fn arrives(mut self) -> Option<RendezvousStream> {
        timeout(self.patience, &mut self.stream).await.ok()?.ok()
    }
}

impl Drop for AwaitedClient {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.digest);
    }
}

impl fmt::Debug for AwaitedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwaitedClient")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Sessions, TooManySessions};
    use crate::limits::SESSIONS_AWAITED_MAX;

    #[tokio::test]
    async fn a_client_that_does_not_come_leaves_nothing_behind() {
        let sessions = Sessions::default();
        let awaited = sessions.await_client_for(Duration::ZERO);
        let (token, client) = awaited.expect("a token");
        assert_eq!(token.len(), 64);
        assert!(client.arrives().await.is_none());
        assert!(sessions.lock().is_empty());
    }

    #[tokio::test]
    async fn so_many_are_waited_for_and_not_one_more() {
        let sessions = Sessions::default();
        let awaited: Vec<_> = (0..SESSIONS_AWAITED_MAX)
            .map(|_| sessions.await_client().expect("a token"))
            .collect();
        assert!(matches!(sessions.await_client(), Err(TooManySessions)));
        drop(awaited);
        assert!(sessions.await_client().is_ok());
    }

    #[test]
    fn tokens_differ_and_are_not_kept() {
        let sessions = Sessions::default();
        let (first, _one) = sessions.await_client().expect("a token");
        let (second, _two) = sessions.await_client().expect("a token");
        assert_ne!(first, second);
        let kept: Vec<String> = sessions.lock().keys().map(hex::encode).collect();
        assert!(!kept.contains(&first) && !format!("{sessions:?}").contains(&first));
    }
}
