//! What one call costs in this process, without sockets: `cargo run --release -p dyno-sandbox --example call_cost`.
//!
//! Prints CPU nanoseconds per call of a hello, on a reused instance and on a fresh one, on one thread and on two:
//! page tables and the instance pool are shared, so two threads pay for each other. Not a test: figures from a busy
//! machine are upper bounds.
#![allow(clippy::unwrap_used)]

use dyno_sandbox::{
    CpuShare, EngineKind, EngineOptions, Engines, Guest, GuestThreads, Handler, InlineCall,
    InlinePoll, Instance, InstanceSpec, LineSink, MemoryAccount, Mount, Outbound, Stdio, call,
};
use http_body_util::Empty;
use std::sync::Arc;
use std::task::{Context, Waker};
use wasmtime::component::Component;

const HELLO: &str = include_str!("../../../tests/guests/hello.wat");
const CALLS_PER_BATCH: u64 = 200;
const BATCHES: usize = 60;

struct NoLines;

impl LineSink for NoLines {
    fn line(&self, _text: String) {}
}

struct Bench {
    guest: Guest,
    spec: Arc<InstanceSpec>,
    share: Arc<CpuShare>,
}

fn main() {
    let engines = Engines::new(&EngineOptions::default()).unwrap();
    let engine = engines.get(EngineKind::Sequential);
    let component = Component::new(engine, wat::parse_str(HELLO).unwrap()).unwrap();
    let guest = Guest::link(&engines, EngineKind::Sequential, component, Handler::Http).unwrap();
    let threads = GuestThreads::start(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench {
        guest,
        spec: Arc::new(spec(directory.path())),
        share: threads.share(1),
    };
    for reused in [true, false] {
        for threads in [1, 2] {
            let mut batches: Vec<u64> = std::thread::scope(|scope| {
                let runs: Vec<_> = (0..threads)
                    .map(|_| scope.spawn(|| bench.run(reused)))
                    .collect();
                runs.into_iter()
                    .flat_map(|run| run.join().unwrap())
                    .collect()
            });
            batches.sort_unstable();
            println!(
                "{} instance, {threads} thread(s): {} ns CPU per call in the best batch, {} in the quarter, {} in the middle",
                if reused { "reused" } else { "fresh" },
                batches[0],
                batches[batches.len() / 4],
                batches[batches.len() / 2],
            );
        }
    }
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
            host: directory.into(),
            guest: guest.into(),
            writable: true,
        })
        .to_vec();
    spec
}

impl Bench {
    fn run(&self, reused: bool) -> Vec<u64> {
        let mut instance = None;
        (0..BATCHES)
            .map(|_| {
                let before = thread_cpu_ns();
                for _ in 0..CALLS_PER_BATCH {
                    let used = self.call(instance.take());
                    instance = used.filter(|_| reused);
                }
                (thread_cpu_ns() - before) / CALLS_PER_BATCH
            })
            .collect()
    }

    fn call(&self, instance: Option<Instance>) -> Option<Instance> {
        let request = http::Request::get("/")
            .header("host", "localhost")
            .body(Empty::new())
            .unwrap();
        let (call, mut answer) = call(&self.guest, self.spec.clone(), instance, false, request);
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
