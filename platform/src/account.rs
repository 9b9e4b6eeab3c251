//! The one account of an installation.

mod authorizations;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::Timestamp;
use crate::secret::Sealer;

pub(crate) use authorizations::{Authorization, AuthorizationError, Authorizations};

/// Who owns all apps.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub id: Uuid,
    pub email: String,
    pub created_at: Timestamp,
}

impl Account {
    /// The account with this address. Its id follows from the installation's key, so it is stable and unlike others'.
    ///
    /// `created_at` — when the installation was made: the same in every answer, so that clients can cache them.
    pub fn new(email: String, sealer: &Sealer, created_at: Timestamp) -> Self {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &sealer.fingerprint(b"account"));
        Self {
            id,
            email,
            created_at,
        }
    }

    /// How other objects refer to it.
    pub fn reference(&self) -> Value {
        json!({ "id": self.id, "email": self.email })
    }
}
