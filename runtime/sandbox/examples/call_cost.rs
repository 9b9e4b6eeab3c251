//! What one call costs in this process, without sockets: `cargo run --release -p dyno-sandbox --example call_cost`.
//!
//! Prints CPU nanoseconds per call of a hello: 0.2 on a reused instance and on a fresh one, 0.3 on shared instances;
//! on one thread and on two, because page tables and the instance pool are shared, so two threads pay for each other. Not a test: figures from a busy
//! machine are upper bounds.
#![allow(clippy::unwrap_used)]

use dyno_sandbox::{
    ConcurrentService, ConcurrentSpec, CpuShare, EngineKind, EngineOptions, Engines, Guest,
    GuestThreads, Handler, InlineCall, InlinePoll, Instance, InstanceSpec, LineSink, MemoryAccount,
    Mount, MountedTree, Outbound, Start, Stdio, call,
};
use http_body_util::{BodyExt, Empty};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use wasmtime::component::Component;

const HELLO: &str = include_str!("../../../tests/guests/hello.wat");
const HELLO_03: &str = include_str!("../../../bench/guests/hello_03.wat");
const CALLS_PER_BATCH: u64 = 200;
const BATCHES: usize = 60;

struct NoLines;

impl LineSink for NoLines {
    fn line(&self, _text: String) {}
}

/// A way to make calls.
#[derive(Clone, Copy)]
enum Way {
    Reused,
    Fresh,
    Shared,
}

struct Bench {
    guest: Guest,
    spec: Arc<InstanceSpec>,
    share: Arc<CpuShare>,
    service: ConcurrentService,
}

fn main() {
    let engines = Engines::new(&EngineOptions::default()).unwrap();
    let threads = GuestThreads::start(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let spec = Arc::new(spec(directory.path()));
    let bench = Bench {
        guest: guest(&engines, EngineKind::Sequential, Handler::Http, HELLO),
        spec: spec.clone(),
        share: threads.share(1),
        service: ConcurrentService::new(
            guest(
                &engines,
                EngineKind::Concurrent,
                Handler::HttpConcurrent,
                HELLO_03,
            ),
            ConcurrentSpec {
                instance: spec,
                instances_max: 4,
                requests_at_once_max: 16,
                requests_max: u64::MAX,
                age_max: Duration::MAX,
                request_timeout: Duration::from_secs(60),
                failed: Arc::new(|finished| panic!("{finished:?}")),
            },
            threads.clone(),
            threads.share(1),
        ),
    };
    for (way, name) in [
        (Way::Reused, "0.2, reused instance"),
        (Way::Fresh, "0.2, fresh instance"),
        (Way::Shared, "0.3, shared instances"),
    ] {
        for threads in [1, 2] {
            let mut batches: Vec<u64> = std::thread::scope(|scope| {
                let runs: Vec<_> = (0..threads)
                    .map(|_| scope.spawn(|| bench.run(way)))
                    .collect();
                runs.into_iter()
                    .flat_map(|run| run.join().unwrap())
                    .collect()
            });
            batches.sort_unstable();
            println!(
                "{name}, {threads} thread(s): {} ns CPU per call in the best batch, {} in the quarter, {} in the middle",
                batches[0],
                batches[batches.len() / 4],
                batches[batches.len() / 2],
            );
        }
    }
    println!("{:?}", threads.counts());
}

fn guest(engines: &Engines, kind: EngineKind, handler: Handler, text: &str) -> Guest {
    let component = Component::new(engines.get(kind), wat::parse_str(text).unwrap()).unwrap();
    Guest::link(engines, kind, component, handler).unwrap()
}

/// What a small dyno sees: a dozen variables, its files and its /tmp.
fn spec(directory: &std::path::Path) -> InstanceSpec {
    let memory = MemoryAccount::new(512 << 20);
    let mut spec = InstanceSpec::new(Stdio::Lines(Arc::new(NoLines)), memory, Outbound::closed());
    spec.environment = (0..12)
        .map(|number| {
            (
                format!("VARIABLE_{number}"),
                "a value of a usual length".into(),
            )
        })
        .collect();
    spec.mounts = ["/app", "/tmp"]
        .map(|guest| Mount {
            host: MountedTree::Writable(directory.into()),
            guest: guest.into(),
        })
        .to_vec();
    spec
}

impl Bench {
    fn run(&self, way: Way) -> Vec<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut instance = None;
        let mut batch = async || {
            let before = thread_cpu_ns();
            for _ in 0..CALLS_PER_BATCH {
                match way {
                    Way::Reused => instance = self.call(instance.take()),
                    Way::Fresh => drop(self.call(None)),
                    Way::Shared => self.call_shared().await,
                }
            }
            (thread_cpu_ns() - before) / CALLS_PER_BATCH
        };
        runtime.block_on(async {
            let mut batches = Vec::new();
            for _ in 0..BATCHES {
                // Without tokio's budget, which makes channels answer "not yet" after 128 operations.
                batches.push(tokio::task::unconstrained(batch()).await);
            }
            batches
        })
    }

    async fn call_shared(&self) {
        let request = http::Request::get("http://localhost/")
            .body(Empty::new())
            .unwrap();
        let response = self.service.handle(request).await.unwrap();
        assert_eq!(response.status(), 200);
        drop(response.into_body().collect().await.unwrap());
    }

    fn call(&self, instance: Option<Instance>) -> Option<Instance> {
        let request = http::Request::get("/")
            .header("host", "localhost")
            .body(Empty::new())
            .unwrap();
        let start = match instance {
            Some(instance) => Start::Warm(instance),
            None => Start::Cold(self.guest.clone(), self.spec.clone()),
        };
        let (call, mut answer) = call(start, false, request);
        let mut call = InlineCall::new(call);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match call.poll(&self.share, &mut context) {
                InlinePoll::Ready(end) => {
                    let response = answer.try_take().unwrap();
                    assert_eq!(response.status(), 200);
                    drop(response.into_body().gather());
                    return end.instance;
                }
                // A busy machine strikes innocent calls.
                InlinePoll::Struck => {}
                InlinePoll::Waiting => unreachable!("a hello waits for nothing"),
            }
        }
    }
}

fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}
