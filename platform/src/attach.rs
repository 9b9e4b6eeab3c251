//! Clients that attach to a one-off dyno: `heroku run`.
//!
//! The API promises a client a dyno and tells it a token ([`Sessions`]); the client names the token on a connection
//! of its own, which the router hands over; a [`Session`] then carries bytes between the two until the dyno ends or the
//! client leaves.

mod client_input;
mod session;
mod sessions;

pub(crate) use session::{Attached, Session, SessionEnd};
pub(crate) use sessions::{AwaitedClient, Sessions};
