//! The body types that cross the line between the router and a backend.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// Any error, as bodies carry it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request as a backend sees it: a stream that is read from the client only as fast
/// as the backend polls it. An error means the client broke off.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a response as a backend gives it: polled only as fast as the client reads. An error
/// breaks the client's connection off (H18); the client never sees a well-formed end.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;
