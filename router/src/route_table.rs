//! Host → route, swapped as a whole: readers take no lock and never see half a change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::route::AppRoute;

/// Under which name a route is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteKey {
    /// The app's name: found as `<app>.localhost`.
    App(String),
    /// An exact host name (a custom domain).
    Host(String),
}

impl RouteKey {
    fn lowercase(self) -> Self {
        match self {
            Self::App(name) => Self::App(name.to_ascii_lowercase()),
            Self::Host(name) => Self::Host(name.trim_end_matches('.').to_ascii_lowercase()),
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Snapshot {
    apps: HashMap<Box<str>, Arc<AppRoute>>,
    hosts: HashMap<Box<str>, Arc<AppRoute>>,
}

impl Snapshot {
    fn insert(&mut self, key: RouteKey, route: Arc<AppRoute>) {
        match key.lowercase() {
            RouteKey::App(name) => self.apps.insert(name.into(), route),
            RouteKey::Host(name) => self.hosts.insert(name.into(), route),
        };
    }
}

/// The table of all routes.
///
/// A lookup is one hash of the host and no lock. A change copies the table (10,000 apps: about a
/// millisecond); the frequent changes (dynos coming and going) are changes of an [`AppRoute`], not of the table.
#[derive(Debug, Default)]
pub struct RouteTable {
    current: ArcSwap<Snapshot>,
    /// One writer at a time: copy, change, swap.
    writer: Mutex<()>,
}

impl RouteTable {
    /// Adds a route, or replaces the one under the same key.
    pub fn publish(&self, key: RouteKey, route: Arc<AppRoute>) {
        self.change(|table| table.insert(key, route));
    }

    /// Takes a route out; requests in flight go on, the next one finds no such app.
    pub fn remove(&self, key: &RouteKey) {
        self.change(|table| match key.clone().lowercase() {
            RouteKey::App(name) => drop(table.apps.remove(name.as_str())),
            RouteKey::Host(name) => drop(table.hosts.remove(name.as_str())),
        });
    }

    /// Swaps the whole table.
    pub fn replace_all(&self, routes: impl IntoIterator<Item = (RouteKey, Arc<AppRoute>)>) {
        let mut table = Snapshot::default();
        for (key, route) in routes {
            table.insert(key, route);
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(table));
    }

    /// The route under an exact key.
    #[must_use]
    pub fn get(&self, key: &RouteKey) -> Option<Arc<AppRoute>> {
        match key.clone().lowercase() {
            RouteKey::App(name) => self.app(&name),
            RouteKey::Host(name) => self.host(&name),
        }
    }

    /// `name` is in lower case.
    pub(crate) fn app(&self, name: &str) -> Option<Arc<AppRoute>> {
        self.current.load().apps.get(name).cloned()
    }

    /// `name` is in lower case and without a final dot.
    pub(crate) fn host(&self, name: &str) -> Option<Arc<AppRoute>> {
        self.current.load().hosts.get(name).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Snapshot::clone(&self.current.load());
        change(&mut table);
        self.current.store(Arc::new(table));
    }
}
