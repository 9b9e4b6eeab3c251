//! The bodies that go in and out of a dyno.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body, boxed.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A response's body. Dropping it before its end tells the guest that the client has left.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;
