//! A closed-loop load generator: connections that each send a request when the last one is answered.
//!
//! It speaks just enough HTTP/1.1 for one known answer, because client and servers share the machine's processors: what a
//! full client would burn is missing in the server.

use anyhow::{Context, bail};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::HELLO;
use crate::answer;
use crate::limits::{ANSWER_TIMEOUT, FIRST_ANSWER_TIMEOUT, SAMPLES_MAX};
use crate::statistics::percentile;

/// What is asked for, and what must come back.
#[derive(Clone, Debug)]
pub struct Page {
    /// The path, with a query if there is one.
    pub path: Cow<'static, str>,
    /// The only body that counts.
    pub body: &'static [u8],
}

/// The hello at the root.
pub const HELLO_PAGE: Page = Page {
    path: Cow::Borrowed("/"),
    body: HELLO,
};

/// Whom to ask, and for what.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The `Host` header, by which a router chooses the app.
    pub host: String,
    /// What is asked for.
    pub page: Page,
}

impl Target {
    /// An app of a platform, asked for its hello.
    pub fn app(address: SocketAddr, name: &str) -> Self {
        Self {
            address,
            host: format!("{name}.localhost"),
            page: HELLO_PAGE,
        }
    }
}

/// What one server did in one cell.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Answers counted.
    pub answers: usize,
    /// How long it really took.
    pub elapsed: Duration,
    /// Half of the answers came within this.
    pub p50: Duration,
    /// All but one in a hundred came within this.
    pub p99: Duration,
}

impl Cell {
    /// Answers a second.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// Asks `target` over `connections` connections for `duration`. One wrong answer, or one that takes longer than `limit`,
/// fails the whole cell.
pub async fn run(
    target: &Target,
    connections: usize,
    duration: Duration,
    limit: Duration,
) -> anyhow::Result<Cell> {
    let barrier = Arc::new(Barrier::new(connections));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(target).await?;
        let barrier = barrier.clone();
        tasks.spawn(async move {
            // One exchange before the clock starts: what a connection costs to set up is not the subject.
            let ready = connection.exchange_within(FIRST_ANSWER_TIMEOUT).await;
            barrier.wait().await;
            ready?;
            let began = Instant::now();
            let latencies = connection
                .repeat(began + duration, limit, SAMPLES_MAX / connections)
                .await?;
            anyhow::Ok((latencies, began, Instant::now()))
        });
    }
    let mut all = Vec::new();
    let mut span: Option<(Instant, Instant)> = None;
    while let Some(joined) = tasks.join_next().await {
        let (latencies, began, ended) = joined.context("a connection's task")??;
        all.extend(latencies);
        span = Some(span.map_or((began, ended), |(first, last)| {
            (first.min(began), last.max(ended))
        }));
    }
    let Some((first, last)) = span else {
        bail!("no connections");
    };
    all.sort_unstable();
    Ok(Cell {
        answers: all.len(),
        elapsed: last - first,
        p50: percentile(&all, 0.50).context("no answer came in time")?,
        p99: percentile(&all, 0.99).context("no answer came in time")?,
    })
}

/// Asks once, on a connection of its own.
pub async fn ask_once(target: &Target) -> anyhow::Result<Duration> {
    let began = Instant::now();
    Connection::open(target).await?.exchange().await?;
    Ok(began.elapsed())
}

/// Likewise, for an answer that may take as long as an interpreter's first.
pub async fn ask_patiently(target: &Target) -> anyhow::Result<()> {
    let mut connection = Connection::open(target).await?;
    connection.exchange_within(FIRST_ANSWER_TIMEOUT).await
}

/// A kept-alive connection to a target.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
    expected: &'static [u8],
}

impl Connection {
    /// Connects.
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: request(target),
            buffer: Vec::with_capacity(1024),
            expected: target.page.body,
        })
    }

    /// From now on asks for what another target is, at the same address.
    pub fn turn_to(&mut self, target: &Target) {
        self.request = request(target);
        self.expected = target.page.body;
    }

    async fn repeat(
        &mut self,
        until: Instant,
        limit: Duration,
        samples_max: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(4096);
        let mut sent = Instant::now();
        while sent < until && latencies.len() < samples_max {
            self.exchange_within(limit).await?;
            let answered = Instant::now();
            latencies.push(answered - sent);
            sent = answered;
        }
        Ok(latencies)
    }

    /// Asks, and checks the answer, which must come in time.
    pub async fn exchange(&mut self) -> anyhow::Result<()> {
        self.exchange_within(ANSWER_TIMEOUT).await
    }

    async fn exchange_within(&mut self, limit: Duration) -> anyhow::Result<()> {
        timeout(limit, self.exchange_unbounded())
            .await
            .context("no answer in time")?
    }

    /// Likewise, however long it takes.
    pub async fn exchange_unbounded(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.request).await?;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(end) = answer::whole(&self.buffer, self.expected)? {
                if end < self.buffer.len() {
                    bail!("the server said more than it was asked");
                }
                self.buffer.clear();
                return Ok(());
            }
        }
    }
}

fn request(target: &Target) -> Vec<u8> {
    let (path, host) = (&target.page.path, &target.host);
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}
