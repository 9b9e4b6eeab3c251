//! The route of one app: what its dynos and its settings mean for a request.

use std::sync::Arc;

use dyno_router::{AppRoute, Backend, RouteKey, RouteState, Router};

use crate::model::AppName;

/// What the router should do, comparable so that only changes are published.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Active(Vec<Arc<Backend>>),
    Starting(usize),
    Crashed,
    NoWebProcesses,
    Maintenance,
    Blank,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Active(a), Self::Active(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
            }
            (Self::Starting(a), Self::Starting(b)) => a == b,
            (Self::Crashed, Self::Crashed)
            | (Self::NoWebProcesses, Self::NoWebProcesses)
            | (Self::Maintenance, Self::Maintenance)
            | (Self::Blank, Self::Blank) => true,
            _ => false,
        }
    }
}

impl Wanted {
    fn state(&self) -> RouteState {
        match self {
            Self::Active(backends) => RouteState::Active {
                backends: backends.clone(),
            },
            Self::Starting(dynos) => RouteState::Starting { dynos: *dynos },
            Self::Crashed => RouteState::Crashed,
            Self::NoWebProcesses => RouteState::NoWebProcesses,
            Self::Maintenance => RouteState::Maintenance,
            Self::Blank => RouteState::Blank,
        }
    }
}

/// An app's place in the router's table.
pub(super) struct Route {
    router: Router,
    published: Option<(AppName, Arc<AppRoute>, Wanted)>,
    /// What the router tells the request log: the app's id, which survives a rename.
    label: Arc<str>,
}

impl Route {
    pub fn new(router: Router, label: Arc<str>) -> Self {
        Self {
            router,
            published: None,
            label,
        }
    }

    /// Makes the router do as wanted.
    pub fn publish(&mut self, name: &AppName, wanted: Wanted) {
        if let Some((published, route, before)) = &mut self.published
            && published == name
        {
            if *before != wanted {
                route.set_state(wanted.state());
                *before = wanted;
            }
            return;
        }
        let old = self.published.take();
        // A renamed app keeps its route object, and with it the requests that wait there.
        let route = if let Some((old_name, route, _)) = old {
            route.set_state(wanted.state());
            self.router
                .routes()
                .publish(RouteKey::App(name.to_string()), Arc::clone(&route));
            self.router
                .routes()
                .remove(&RouteKey::App(old_name.to_string()));
            route
        } else {
            let route = AppRoute::new(Arc::clone(&self.label), wanted.state());
            self.router
                .routes()
                .publish(RouteKey::App(name.to_string()), Arc::clone(&route));
            route
        };
        self.published = Some((name.clone(), route, wanted));
    }

    /// Takes the app out of the table: its host becomes "no such app".
    pub fn remove(&mut self) {
        if let Some((name, route, _)) = self.published.take() {
            // A new app may have taken the name already.
            let key = RouteKey::App(name.to_string());
            if self
                .router
                .routes()
                .get(&key)
                .is_some_and(|current| Arc::ptr_eq(&current, &route))
            {
                self.router.routes().remove(&key);
            }
            // Whoever waits in it is told at once.
            route.set_state(RouteState::Blank);
        }
    }
}
