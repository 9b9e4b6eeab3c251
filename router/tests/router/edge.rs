//! A router on a free port, its request log in memory, a client of raw bytes, and backends.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dyno_router::{
    AppRoute, Backend, BackendError, BackendErrorKind, DrainReport, Fallback, Listener,
    RequestBody, RequestLog, RequestRecord, ResponseBody, RouteKey, RouteState, Router,
    RouterOptions, Tls,
};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `what`, or fails saying that it did not come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

#[derive(Clone, Default)]
pub struct Records {
    records: Arc<Mutex<Vec<RequestRecord>>>,
    added: Arc<Notify>,
}

impl RequestLog for Records {
    fn record(&self, record: RequestRecord) {
        self.records.lock().unwrap().push(record);
        self.added.notify_waiters();
    }
}

impl Records {
    pub async fn wait_for(&self, count: usize) -> Vec<RequestRecord> {
        soon(&format!("{count} log lines"), async {
            loop {
                let added = self.added.notified();
                tokio::pin!(added);
                added.as_mut().enable();
                let records = self.records.lock().unwrap().clone();
                if records.len() >= count {
                    return records;
                }
                added.await;
            }
        })
        .await
    }
}

pub struct Edge {
    pub router: Router,
    pub address: SocketAddr,
    pub records: Records,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<DrainReport>,
}

impl Edge {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut RouterOptions)) -> Self {
        Self::serving(change, Router::new)
    }

    /// One that takes TLS too.
    pub fn with_tls(tls: &Tls, change: impl FnOnce(&mut RouterOptions)) -> Self {
        Self::serving(change, |options| Router::with_tls(options, tls.clone()))
    }

    fn serving(
        change: impl FnOnce(&mut RouterOptions),
        make: impl FnOnce(RouterOptions) -> Router,
    ) -> Self {
        let records = Records::default();
        let mut options = RouterOptions {
            request_log: Arc::new(records.clone()),
            ..RouterOptions::default()
        };
        change(&mut options);
        let router = make(options);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = router.clone();
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serving.serve(listener, stopped).await
        });
        Self {
            router,
            address,
            records,
            stop: Some(stop),
            served,
        }
    }

    /// A router with the app `demo` in the given state.
    pub fn demo(state: RouteState) -> (Self, Arc<AppRoute>) {
        Self::start().and_demo(state)
    }

    pub fn and_demo(self, state: RouteState) -> (Self, Arc<AppRoute>) {
        let route = AppRoute::new("demo", state);
        self.router
            .routes()
            .publish(RouteKey::App("demo".to_owned()), Arc::clone(&route));
        (self, route)
    }

    pub async fn connect(&self) -> Client {
        Client {
            stream: soon("a connection", TcpStream::connect(self.address))
                .await
                .unwrap(),
        }
    }

    /// Sends `request` on a connection of its own and reads all that comes until it closes.
    pub async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    /// Gets `path` of the app `demo`.
    pub async fn get(&self, path: &str) -> String {
        self.exchange(get(path)).await
    }

    /// The one line that the requests so far have logged.
    pub async fn only_line(&self) -> String {
        let records = self.records.wait_for(1).await;
        assert_eq!(records.len(), 1, "more than one line: {records:?}");
        records[0].to_string()
    }

    /// Asks the router to stop; [`Edge::stopped`] waits for it.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub async fn stopped(self) -> DrainReport {
        soon("the end of the drain", self.served).await.unwrap()
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n")
}

pub struct Client<S = TcpStream> {
    pub stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything until the other side closes or resets.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = soon("the connection's end", self.stream.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until `end` has come.
    pub async fn until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        soon(&format!("{end:?}"), async {
            while !String::from_utf8_lossy(&bytes).ends_with(end) {
                let byte = self.stream.read_u8().await;
                bytes.push(byte.unwrap_or_else(|error| {
                    panic!("{error} after {:?}", String::from_utf8_lossy(&bytes))
                }));
            }
        })
        .await;
        String::from_utf8(bytes).unwrap()
    }
}

/// A dyno that answers with `answer`.
pub fn dyno<F, R>(name: &str, answer: F) -> Arc<Backend>
where
    F: Fn(Request<RequestBody>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response<ResponseBody>, BackendError>> + Send + 'static,
{
    Backend::new(name, tower::service_fn(answer))
}

/// A dyno that always says `text`.
pub fn says(name: &str, text: &'static str) -> Arc<Backend> {
    dyno(name, move |_| async move { Ok(Response::new(full(text))) })
}

pub fn fails(name: &str, kind: BackendErrorKind) -> Arc<Backend> {
    dyno(name, move |_| async move { Err(BackendError::new(kind)) })
}

/// A dyno that hands every request back.
pub fn unavailable(name: &str) -> Arc<Backend> {
    dyno(name, |request| async move {
        Err(BackendError::unavailable(request))
    })
}

/// A dyno that never answers.
pub fn hangs(name: &str) -> Arc<Backend> {
    dyno(name, |_| std::future::pending())
}

/// A dyno that answers with the request's head and body, a line each.
pub fn echoes(name: &str) -> Arc<Backend> {
    dyno(name, |request| async move {
        let (parts, body) = request.into_parts();
        let mut text = format!("{} {}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            writeln!(text, "{name}: {value}").unwrap();
        }
        let body = body.collect().await;
        let body = body
            .map_err(|error| BackendError::new(BackendErrorKind::NoResponse).with_source(error))?;
        let body = body.to_bytes();
        writeln!(text, "body: {}", String::from_utf8_lossy(&body)).unwrap();
        Ok(Response::new(full(text)))
    })
}

pub fn active(backends: impl IntoIterator<Item = Arc<Backend>>) -> RouteState {
    RouteState::Active {
        backends: backends.into_iter().collect(),
    }
}

pub fn fallback(text: &'static str) -> Fallback {
    Fallback::new(tower::service_fn(
        move |_: Request<RequestBody>| async move {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
                text.as_bytes(),
            ))))
        },
    ))
}

pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What a scripted body does next.
pub enum Piece {
    Data(&'static str),
    /// The dyno breaks off.
    Break,
}

/// A body that a test feeds piece by piece; it ends when the sender is dropped.
pub fn scripted() -> (mpsc::Sender<Piece>, ResponseBody) {
    let (sender, mut receiver) = mpsc::channel(16);
    let stream = futures::stream::poll_fn(move |cx: &mut std::task::Context<'_>| {
        receiver.poll_recv(cx).map(|piece| {
            piece.map(|piece| match piece {
                Piece::Data(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
                Piece::Break => Err("the dyno died".into()),
            })
        })
    });
    (sender, StreamBody::new(stream).boxed_unsync())
}

/// A dyno that answers its first request with the body that a test feeds.
pub fn fed(name: &str, response: http::response::Builder) -> (mpsc::Sender<Piece>, Arc<Backend>) {
    let (sender, body) = scripted();
    let response = Arc::new(Mutex::new(Some(response.body(body).unwrap())));
    let backend = dyno(name, move |_| {
        let response = response.lock().unwrap().take();
        async move { response.ok_or_else(|| BackendError::new(BackendErrorKind::Platform)) }
    });
    (sender, backend)
}
