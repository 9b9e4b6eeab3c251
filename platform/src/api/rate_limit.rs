//! The API's token bucket and its header.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use crate::control::Control;
use crate::limits::{RATE_LIMIT_TOKENS_MAX, RATE_LIMIT_TOKENS_PER_MINUTE};

static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// Tokens of the installation's account.
#[derive(Debug)]
pub(crate) struct RateLimit(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl RateLimit {
    pub fn new() -> Self {
        Self(Mutex::new(Bucket {
            tokens: f64::from(RATE_LIMIT_TOKENS_MAX),
            filled_at: Instant::now(),
        }))
    }

    /// Tokens left now.
    pub fn remaining(&self) -> u32 {
        self.with(|bucket| bucket.tokens)
    }

    /// Takes a token; `None` when there is none.
    fn take(&self) -> Option<u32> {
        let mut taken = false;
        let left = self.with(|bucket| {
            taken = bucket.tokens >= 1.0;
            bucket.tokens -= if taken { 1.0 } else { 0.0 };
            bucket.tokens
        });
        taken.then_some(left)
    }

    fn with(&self, act: impl FnOnce(&mut Bucket) -> f64) -> u32 {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let minutes = now.duration_since(bucket.filled_at).as_secs_f64() / 60.0;
        bucket.filled_at = now;
        bucket.tokens = (bucket.tokens + minutes * f64::from(RATE_LIMIT_TOKENS_PER_MINUTE))
            .min(f64::from(RATE_LIMIT_TOKENS_MAX));
        // Never negative and never above the bucket, so the cast is exact down to the fraction.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let whole = act(&mut bucket).max(0.0) as u32;
        whole
    }
}

pub(super) async fn count(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let remaining = control.rate_limit.take();
    let mut response = if remaining.is_some() {
        next.run(request).await
    } else {
        let message = "Your account reached the API rate limit. Please wait a few minutes before making new requests.";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", message).into_response()
    };
    response
        .headers_mut()
        .insert(REMAINING.clone(), HeaderValue::from(remaining.unwrap_or(0)));
    response
}

#[cfg(test)]
mod tests {
    use super::RateLimit;
    use crate::limits::RATE_LIMIT_TOKENS_MAX;

    #[test]
    fn the_bucket_empties_and_then_refuses() {
        let limit = RateLimit::new();
        let mut taken = 0;
        while limit.take().is_some() {
            taken += 1;
            assert!(
                taken < RATE_LIMIT_TOKENS_MAX * 2,
                "the bucket never empties"
            );
        }
        assert!(taken >= RATE_LIMIT_TOKENS_MAX);
    }
}
