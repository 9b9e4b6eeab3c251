//! Keys beside the installation's own: made by `heroku login` and `authorizations:create`, kept as digests, revocable.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::limits::{AUTHORIZATIONS_MAX, DESCRIPTION_BYTES_MAX};
use crate::model::Timestamp;
use crate::store::{
    Check, Store, StoreError, Stored, Transaction, Write, encode, get, keys, list_all,
};

/// Every token begins like this, so that anything else need not be looked up.
const TOKEN_PREFIX: &str = "HRKU-";
/// Characters of a token that its owner may recognise it by, at either end; a uuid keeps over 90 bits hidden.
const SHOWN_START: usize = TOKEN_PREFIX.len() + 4;
const SHOWN_END: usize = 4;

/// A key that was given away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authorization {
    pub id: Uuid,
    pub description: Option<String>,
    /// How its token begins and ends.
    shown: (String, String),
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Authorization {
    /// The token as lists show it. The CLI tells by both ends whether it is its own.
    pub fn redacted_token(&self) -> String {
        let (start, end) = &self.shown;
        format!("{start}**********{end}")
    }

    /// Seconds that it is still good for; `None` when it has no end.
    pub fn expires_in(&self) -> Option<i64> {
        let end = self.expires_at?;
        Some((end.as_second() - Timestamp::now().as_second()).max(0))
    }

    fn is_over(&self) -> bool {
        self.expires_in() == Some(0)
    }
}

/// Why an authorization was not made or found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorizationError {
    #[error("{AUTHORIZATIONS_MAX} authorizations exist already; revoke some first.")]
    TooMany,
    #[error("description must be one line of at most {DESCRIPTION_BYTES_MAX} bytes.")]
    Description,
    #[error("Couldn't find that authorization.")]
    NotFound,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys of the account that can be revoked.
#[derive(Clone, Debug)]
pub(crate) struct Authorizations {
    store: Arc<dyn Store>,
}

impl Authorizations {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Whether this is the token of an authorization that is good now.
    pub async fn admit(&self, token: &str) -> Result<bool, StoreError> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Ok(false);
        }
        // Looked up by a digest, which the stranger who guesses cannot steer.
        let found = get::<Authorization>(&*self.store, &key_of(token)).await?;
        Ok(found.is_some_and(|found| !found.value.is_over()))
    }

    /// Makes one, and its token, which is told this once.
    pub async fn create(
        &self,
        description: Option<String>,
        lifetime: Option<Duration>,
    ) -> Result<(Authorization, String), AuthorizationError> {
        check(description.as_deref())?;
        if self.list().await?.len() >= AUTHORIZATIONS_MAX {
            return Err(AuthorizationError::TooMany);
        }
        let (token, now) = (fresh_token(), Timestamp::now());
        let authorization = Authorization {
            id: Uuid::new_v4(),
            description,
            shown: shown(&token),
            expires_at: lifetime.map(|lifetime| now.after(lifetime)),
            created_at: now,
            updated_at: now,
        };
        let key = key_of(&token);
        let transaction = Transaction::default()
            .check(Check::Absent(key.clone()))
            .write(Write::Put(key, encode(&authorization)?));
        self.store.commit(transaction).await?;
        Ok((authorization, token))
    }

    /// All that are good now, the oldest first. Those that are over are removed on the way.
    pub async fn list(&self) -> Result<Vec<Authorization>, StoreError> {
        let (over, mut good): (Vec<_>, Vec<_>) = self
            .stored()
            .await?
            .into_iter()
            .partition(|stored| stored.value.is_over());
        for stored in over {
            self.remove(&stored).await?;
        }
        good.sort_by_key(|stored| (stored.value.created_at, stored.value.id));
        Ok(good.into_iter().map(|stored| stored.value).collect())
    }

    /// The one with this id.
    pub async fn find(&self, id: &str) -> Result<Authorization, AuthorizationError> {
        Ok(self.stored_of(id).await?.value)
    }

    /// Gives it another description.
    pub async fn describe(
        &self,
        id: &str,
        description: String,
    ) -> Result<Authorization, AuthorizationError> {
        check(Some(&description))?;
        let stored = self.stored_of(id).await?;
        let mut authorization = stored.value.clone();
        authorization.description = Some(description);
        authorization.updated_at = Timestamp::now();
        let transaction = Transaction::default()
            .check(stored.unchanged())
            .write(Write::Put(stored.key.clone(), encode(&authorization)?));
        self.store.commit(transaction).await?;
        Ok(authorization)
    }

    /// Gives it another token; the one before is worthless at once.
    pub async fn rotate(&self, id: &str) -> Result<(Authorization, String), AuthorizationError> {
        let stored = self.stored_of(id).await?;
        let token = fresh_token();
        let mut authorization = stored.value.clone();
        authorization.shown = shown(&token);
        authorization.updated_at = Timestamp::now();
        let transaction = Transaction::default()
            .check(stored.unchanged())
            .write(Write::Delete(stored.key.clone()))
            .write(Write::Put(key_of(&token), encode(&authorization)?));
        self.store.commit(transaction).await?;
        Ok((authorization, token))
    }

    /// Makes its token worthless.
    pub async fn revoke(&self, id: &str) -> Result<Authorization, AuthorizationError> {
        let stored = self.stored_of(id).await?;
        self.remove(&stored).await?;
        Ok(stored.value)
    }

    async fn remove(&self, stored: &Stored<Authorization>) -> Result<(), StoreError> {
        let transaction = Transaction::default().write(Write::Delete(stored.key.clone()));
        self.store.commit(transaction).await?;
        Ok(())
    }

    async fn stored(&self) -> Result<Vec<Stored<Authorization>>, StoreError> {
        list_all(&*self.store, keys::AUTHORIZATIONS).await
    }

    async fn stored_of(&self, id: &str) -> Result<Stored<Authorization>, AuthorizationError> {
        let all = self.stored().await?;
        all.into_iter()
            .find(|stored| stored.value.id.to_string() == id && !stored.value.is_over())
            .ok_or(AuthorizationError::NotFound)
    }
}

fn check(description: Option<&str>) -> Result<(), AuthorizationError> {
    let text = description.unwrap_or("");
    if text.len() > DESCRIPTION_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(AuthorizationError::Description);
    }
    Ok(())
}

fn fresh_token() -> String {
    format!("{TOKEN_PREFIX}{}", Uuid::new_v4())
}

/// A uuid has 122 bits of chance: one round of a hash hides it as well as many would.
fn key_of(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    format!("{}{}", keys::AUTHORIZATIONS, hex::encode(digest))
}

fn shown(token: &str) -> (String, String) {
    (
        token[..SHOWN_START].to_owned(),
        token[token.len() - SHOWN_END..].to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{AuthorizationError, Authorizations};
    use crate::limits::AUTHORIZATIONS_MAX;
    use crate::store::{SqliteStore, Store, keys};

    fn authorizations() -> (Authorizations, Arc<SqliteStore>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("state")).expect("a store");
        let store = Arc::new(store);
        (Authorizations::new(store.clone()), store, folder)
    }

    #[tokio::test]
    async fn a_token_is_good_until_it_is_revoked_and_never_kept() {
        let (all, store, _folder) = authorizations();
        let (made, token) = all
            .create(Some("a laptop".to_owned()), None)
            .await
            .expect("made");
        assert!(all.admit(&token).await.expect("read"));
        assert!(!all.admit(&token[1..]).await.expect("read"));
        assert_eq!(all.list().await.expect("read"), std::slice::from_ref(&made));
        let page = store.list(keys::ROOT, None, 10).await.expect("read");
        for entry in page.entries {
            let text = format!("{} {}", entry.key, String::from_utf8_lossy(&entry.value));
            assert!(!text.contains(&token), "{text}");
        }
        let id = made.id.to_string();
        all.revoke(&id).await.expect("revoked");
        assert!(!all.admit(&token).await.expect("read"));
        assert!(matches!(
            all.find(&id).await,
            Err(AuthorizationError::NotFound)
        ));
    }

    #[tokio::test]
    async fn a_rotated_token_takes_the_place_of_the_one_before() {
        let (all, _store, _folder) = authorizations();
        let (made, first) = all.create(None, None).await.expect("made");
        let (rotated, second) = all.rotate(&made.id.to_string()).await.expect("rotated");
        assert_eq!(rotated.id, made.id);
        assert!(!all.admit(&first).await.expect("read"));
        assert!(all.admit(&second).await.expect("read"));
        let redacted = rotated.redacted_token();
        assert!(second.starts_with(&redacted[..9]) && redacted.len() < second.len());
    }

    #[tokio::test]
    async fn a_token_whose_time_is_over_is_worthless_and_forgotten() {
        let (all, _store, _folder) = authorizations();
        let (_, token) = all.create(None, Some(Duration::ZERO)).await.expect("made");
        assert!(!all.admit(&token).await.expect("read"));
        assert!(all.list().await.expect("read").is_empty());
        assert!(all.stored().await.expect("read").is_empty());
    }

    #[tokio::test]
    async fn there_are_so_many_and_not_one_more() {
        let (all, _store, _folder) = authorizations();
        for _ in 0..AUTHORIZATIONS_MAX {
            all.create(None, None).await.expect("made");
        }
        let refused = all.create(None, None).await;
        assert!(matches!(refused, Err(AuthorizationError::TooMany)));
    }
}
