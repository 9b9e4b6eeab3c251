//! A formation: a number of dynos of one process type behind one service.

use crate::body::{BoxError, RequestBody, ResponseBody};
use crate::dyno::{Dyno, DynoOptions, RestPolicy, boxed_body};
use crate::error::CallError;
use crate::limits::START_TIMEOUT;
use crate::log::{LogSink, NoLog};
use crate::process::Process;
use crate::runtime::Runtime;
use crate::size::DynoSize;
use crate::state::DynoState;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http_body::Body;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How a formation is started.
#[derive(Clone)]
pub struct FormationOptions {
    /// How many dynos.
    pub quantity: u32,
    /// What each may use.
    pub size: DynoSize,
    /// Where their lines go.
    pub log: Arc<dyn LogSink>,
    /// Variables of the dynos; they win over config vars.
    pub environment: BTreeMap<String, String>,
    /// How many of them stay warm though nothing is asked of them.
    pub always_on: u32,
}

impl Default for FormationOptions {
    fn default() -> Self {
        Self {
            quantity: 1,
            size: DynoSize::default(),
            log: Arc::new(NoLog),
            environment: BTreeMap::new(),
            always_on: 0,
        }
    }
}

impl fmt::Debug for FormationOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FormationOptions")
            .field("quantity", &self.quantity)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Dynos of one process type; a `tower::Service` that gives each request to the dyno with the fewest. Clones
/// share everything, and the dynos stop when the last clone is dropped.
#[derive(Clone)]
pub struct Formation {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    process: Process,
    options: FormationOptions,
    dynos: ArcSwap<Vec<Dyno>>,
    /// Held while the number of dynos changes.
    scaling: Mutex<()>,
    turn: AtomicUsize,
}

impl Formation {
    /// Starts the dynos and returns at once; they are named `web.1`, `web.2`, … by the process type.
    pub fn start(runtime: &Runtime, process: &Process, options: FormationOptions) -> Self {
        let quantity = options.quantity;
        let inner = Inner {
            runtime: runtime.clone(),
            process: process.clone(),
            options,
            dynos: ArcSwap::default(),
            scaling: Mutex::new(()),
            turn: AtomicUsize::new(0),
        };
        let formation = Self {
            inner: Arc::new(inner),
        };
        // Nothing runs yet, so nothing is to be waited for.
        drop(formation.scale(quantity, Duration::ZERO));
        formation
    }

    /// The dynos it has.
    pub fn dynos(&self) -> Vec<Dyno> {
        self.inner.dynos.load().to_vec()
    }

    /// Starts or stops dynos until there are `quantity`, the highest numbers going first. The future waits
    /// until those that go have ended, each up to `grace`.
    pub fn scale(&self, quantity: u32, grace: Duration) -> impl Future<Output = ()> + Send + use<> {
        let gone = self.resize(quantity as usize);
        let stops: FuturesUnordered<_> = gone.iter().map(|dyno| dyno.stop(grace)).collect();
        stops.collect::<()>()
    }

    fn resize(&self, quantity: usize) -> Vec<Dyno> {
        let inner = &self.inner;
        let _scaling = inner.scaling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dynos = self.dynos();
        let gone = dynos.split_off(quantity.min(dynos.len()));
        while dynos.len() < quantity {
            let name = format!("{}.{}", inner.process.process_type(), dynos.len() + 1);
            let options = DynoOptions {
                size: inner.options.size,
                log: inner.options.log.clone(),
                environment: inner.options.environment.clone(),
                rest: if dynos.len() < inner.options.always_on as usize {
                    RestPolicy::AlwaysOn
                } else {
                    RestPolicy::WhenQuiet
                },
                ..DynoOptions::new(name)
            };
            dynos.push(Dyno::start(&inner.runtime, &inner.process, options));
        }
        inner.dynos.store(Arc::new(dynos));
        gone
    }

    /// Waits until at least one dyno takes requests.
    pub async fn wait_up(&self) {
        let dynos = self.dynos();
        let mut ups: FuturesUnordered<_> = dynos
            .iter()
            .map(|dyno| {
                let mut state = dyno.watch();
                async move { state.wait_for(|state| state.takes_requests()).await.is_ok() }
            })
            .collect();
        while let Some(up) = ups.next().await {
            if up {
                return;
            }
        }
    }

    /// Stops every dyno, each waiting up to `grace` for its requests.
    pub async fn drain(&self, grace: Duration) {
        self.scale(0, grace).await;
    }

    /// Answers a request with the dyno that has the fewest in flight. While all are starting, it waits.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::NotUp`] when no dyno is up or starting.
    pub async fn call(
        &self,
        mut request: http::Request<RequestBody>,
    ) -> Result<http::Response<ResponseBody>, CallError> {
        let mut waited = false;
        loop {
            let dynos = self.inner.dynos.load_full();
            let mut tried = vec![false; dynos.len()];
            while let Some(index) = self.pick(&dynos, &tried) {
                tried[index] = true;
                match dynos[index].call(request).await {
                    Err(CallError::NotUp(back)) => request = *back,
                    answer => return answer,
                }
            }
            let starting = dynos.iter().any(|dyno| dyno.state() == DynoState::Starting);
            if waited || !starting {
                return Err(CallError::NotUp(Box::new(request)));
            }
            waited = tokio::time::timeout(START_TIMEOUT, self.wait_up())
                .await
                .is_err();
        }
    }

    /// The dyno with the fewest requests of those not tried; equal ones take turns.
    fn pick(&self, dynos: &[Dyno], tried: &[bool]) -> Option<usize> {
        let first = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        (0..dynos.len())
            .map(|offset| (first.wrapping_add(offset)) % dynos.len())
            .filter(|index| !tried[*index] && dynos[*index].state().takes_requests())
            .min_by_key(|index| dynos[*index].in_flight())
    }
}

impl<B> tower::Service<http::Request<B>> for Formation
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<ResponseBody>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, CallError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let formation = self.clone();
        Box::pin(async move { Self::call(&formation, request.map(boxed_body)).await })
    }
}

impl fmt::Debug for Formation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Formation")
            .field("dynos", &*self.inner.dynos.load())
            .finish_non_exhaustive()
    }
}
