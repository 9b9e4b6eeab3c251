//! Names to addresses through the system's resolver, each answer kept for a short time.

use crate::limits::{
    OUTBOUND_NAME_TTL, OUTBOUND_NAME_TTL_FAILED, OUTBOUND_NAMES_MAX, OUTBOUND_RESOLVES_AT_ONCE,
};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The names that one app has asked for. The system's resolver tells no time to live, so an answer is kept just long
/// enough that a burst of connections asks once.
#[derive(Debug)]
pub(crate) struct Resolver {
    names: Mutex<HashMap<String, Entry>>,
    /// The system's resolver blocks a thread for as long as a name server is silent.
    at_once: Semaphore,
}

#[derive(Clone, Debug)]
struct Entry {
    asked: Instant,
    /// Held by whoever asks, so that the others wait for that answer.
    answer: Arc<tokio::sync::Mutex<Option<Answer>>>,
}

#[derive(Clone, Debug)]
struct Answer {
    until: Instant,
    /// Empty when the name is not known.
    addresses: Arc<[IpAddr]>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            names: Mutex::default(),
            at_once: Semaphore::new(OUTBOUND_RESOLVES_AT_ONCE),
        }
    }
}

impl Resolver {
    /// The addresses of a name, or of an address written out.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it has none.
    pub(crate) async fn resolve(&self, name: &str) -> io::Result<Arc<[IpAddr]>> {
        if let Ok(ip) = name.parse() {
            return Ok(Arc::from([ip]));
        }
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        if let Some(answer) = slot.as_ref().filter(|answer| answer.until > Instant::now()) {
            return answer.known();
        }
        let _turn = self.at_once.acquire().await.map_err(io::Error::other)?;
        let addresses: Arc<[IpAddr]> = match tokio::net::lookup_host((name, 0)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Arc::default(),
        };
        let ttl = if addresses.is_empty() {
            OUTBOUND_NAME_TTL_FAILED
        } else {
            OUTBOUND_NAME_TTL
        };
        let answer = Answer {
            until: Instant::now() + ttl,
            addresses,
        };
        slot.insert(answer).known()
    }

    fn slot(&self, name: &str) -> Arc<tokio::sync::Mutex<Option<Answer>>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = names.get(name) {
            return entry.answer.clone();
        }
        if names.len() >= OUTBOUND_NAMES_MAX {
            let oldest = names.iter().min_by_key(|(_, entry)| entry.asked);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                names.remove(&oldest);
            }
        }
        let entry = Entry {
            asked: Instant::now(),
            answer: Arc::default(),
        };
        names.insert(name.to_owned(), entry.clone());
        entry.answer
    }
}

impl Answer {
    fn known(&self) -> io::Result<Arc<[IpAddr]>> {
        if self.addresses.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.addresses.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fresh(resolver: &Resolver, name: &str) -> bool {
        let slot = resolver.slot(name);
        let slot = slot.try_lock().unwrap();
        slot.as_ref()
            .is_some_and(|answer| answer.until > Instant::now())
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_time() {
        let resolver = Resolver::default();
        let first = resolver.resolve("localhost").await.unwrap();
        assert!(first.iter().all(IpAddr::is_loopback));
        assert!(Arc::ptr_eq(
            &first,
            &resolver.resolve("localhost").await.unwrap()
        ));
        let slot = resolver.slot("localhost");
        let mut slot = slot.lock().await;
        let answer = slot.as_mut().unwrap();
        assert!(answer.until - Instant::now() > OUTBOUND_NAME_TTL_FAILED);
        answer.until = Instant::now();
        drop(slot);
        let again = resolver.resolve("localhost").await.unwrap();
        assert!(!Arc::ptr_eq(&first, &again));
    }

    #[tokio::test]
    async fn a_name_that_is_not_known_is_asked_again_soon() {
        let resolver = Resolver::default();
        let missing = resolver.resolve("no such name").await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(is_fresh(&resolver, "no such name"));
        let slot = resolver.slot("no such name");
        let until = slot.lock().await.as_ref().unwrap().until;
        assert!(until - Instant::now() <= OUTBOUND_NAME_TTL_FAILED);
    }

    #[tokio::test]
    async fn as_many_names_as_the_bound_are_kept() {
        let resolver = Resolver::default();
        for number in 0..OUTBOUND_NAMES_MAX + 10 {
            drop(resolver.slot(&format!("host-{number}")));
        }
        let names = resolver.names.lock().unwrap();
        assert_eq!(names.len(), OUTBOUND_NAMES_MAX);
        assert!(!names.contains_key("host-0") && names.contains_key("host-10"));
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let resolver = Resolver::default();
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(*resolver.resolve("192.0.2.1").await.unwrap(), [ip]);
        assert!(resolver.names.lock().unwrap().is_empty());
    }
}
