//! Instances of a 0.3 handler: shared, replaced, failing, and left by their clients.

use super::{ConcurrentError, ConcurrentService, ConcurrentSpec};
use crate::call::{AnswerBody, Finished};
use crate::engine::{EngineKind, EngineOptions, Engines};
use crate::guest::{Guest, Handler};
use crate::instance::InstanceSpec;
use crate::memory::MemoryAccount;
use crate::outbound::Outbound;
use crate::scheduling::GuestThreads;
use crate::stdio::{LineSink, Stdio};
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmtime::component::Component;

const HELLO: &str = include_str!("../../../../bench/guests/hello_03.wat");
const BEGIN: &str = "(call $drop-request (local.get $request))";
const END_OF_BODY: &str = "(call $body-drop (local.get $body))";
const PATIENCE: Duration = Duration::from_secs(60);

struct NoLines;

impl LineSink for NoLines {
    fn line(&self, _text: String) {}
}

struct Fixture {
    service: ConcurrentService,
    failures: Arc<Mutex<Vec<Finished>>>,
    _engines: Engines,
}

/// A service of the hello, with something put in the place of a part of its text.
fn fixture(part: &str, instead: &str, change: impl FnOnce(&mut ConcurrentSpec)) -> Fixture {
    assert!(HELLO.contains(part));
    let engines = Engines::new(&EngineOptions {
        instance_slots_max: 16,
        ..EngineOptions::default()
    })
    .unwrap();
    let component = wat::parse_str(HELLO.replace(part, instead)).unwrap();
    let component = Component::new(engines.get(EngineKind::Concurrent), component).unwrap();
    let kind = EngineKind::Concurrent;
    let guest = Guest::link(&engines, kind, component, Handler::HttpConcurrent).unwrap();
    let threads = GuestThreads::start(1).unwrap();
    let failures = Arc::new(Mutex::new(Vec::new()));
    let reported = failures.clone();
    let stdio = Stdio::Lines(Arc::new(NoLines));
    let instance = InstanceSpec::new(stdio, MemoryAccount::new(1 << 30), Outbound::closed());
    let mut spec = ConcurrentSpec {
        instance: Arc::new(instance),
        instances_max: 4,
        requests_at_once_max: 2,
        requests_max: 1000,
        age_max: PATIENCE,
        request_timeout: PATIENCE,
        failed: Arc::new(move |finished| reported.lock().unwrap().push(finished)),
    };
    change(&mut spec);
    let share = threads.share(1);
    Fixture {
        service: ConcurrentService::new(guest, spec, threads, share),
        failures,
        _engines: engines,
    }
}

impl Fixture {
    async fn get(&self) -> Result<http::Response<AnswerBody>, ConcurrentError> {
        let request = http::Request::get("http://localhost/");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = self.service.handle(request);
        tokio::time::timeout(PATIENCE, answer).await.unwrap()
    }

    fn failures(&self) -> usize {
        self.failures.lock().unwrap().len()
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn one_instance_answers_one_request_after_another() {
    let hello = fixture(BEGIN, BEGIN, |spec| spec.instances_max = 1);
    for _ in 0..20 {
        let response = hello.get().await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "hello, world!\n");
    }
    assert_eq!((hello.service.instances(), hello.failures()), (1, 0));
}

#[tokio::test]
async fn a_short_body_comes_as_one_buffer_of_known_length() {
    let hello = fixture(BEGIN, BEGIN, |_| ());
    let mut whole = 0;
    for _ in 0..20 {
        let body = hello.get().await.unwrap().into_body();
        whole += usize::from(body.size_hint().exact() == Some(14));
    }
    // A busy machine strikes innocent calls, which then stream.
    assert!(whole > 0);
}

#[tokio::test]
async fn an_instance_is_replaced_when_it_has_answered_its_number() {
    let hello = fixture(BEGIN, BEGIN, |spec| spec.requests_max = 2);
    for _ in 0..7 {
        let body = hello.get().await.unwrap().into_body();
        body.collect().await.unwrap();
    }
    assert_eq!(hello.failures(), 0);
}

#[tokio::test]
async fn a_trap_fails_its_request_and_the_next_has_another_instance() {
    let trap = fixture(BEGIN, "unreachable", |_| ());
    for failures in 1..=2 {
        let error = trap.get().await.unwrap_err();
        assert!(matches!(error, ConcurrentError::NoResponse(_)), "{error}");
        until("the failure is told", || trap.failures() == failures).await;
    }
    let failures = trap.failures.lock().unwrap();
    assert!(
        failures
            .iter()
            .all(|end| matches!(end, Finished::Trapped(_)))
    );
    assert_eq!(trap.service.instances(), 0);
}

#[tokio::test]
async fn a_trap_in_mid_body_is_never_taken_for_its_end() {
    let instead = format!("unreachable {END_OF_BODY}");
    let trap = fixture(END_OF_BODY, &instead, |_| ());
    match trap.get().await {
        Ok(response) => assert!(response.into_body().collect().await.is_err()),
        Err(error) => assert!(matches!(error, ConcurrentError::NoResponse(_)), "{error}"),
    }
    until("the failure is told", || trap.failures() == 1).await;
}

#[tokio::test]
async fn a_guest_that_computes_for_ever_is_given_up_and_dropped() {
    let spin = fixture(BEGIN, "(loop (br 0))", |spec| {
        spec.request_timeout = Duration::from_millis(50);
    });
    let error = spin.get().await.unwrap_err();
    assert!(matches!(error, ConcurrentError::Timeout), "{error}");
    until("its instance is dropped", || spin.service.instances() == 0).await;
    assert_eq!(spin.failures(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_a_guest_that_waits_ends_its_instance() {
    let waits = "(return (i32.or (i32.const 2) (i32.shl (call $set-new) (i32.const 4))))";
    let never = fixture(BEGIN, waits, |_| ());
    let client = tokio::time::timeout(Duration::from_millis(20), never.get()).await;
    assert!(client.is_err());
    until("its instance is dropped", || never.service.instances() == 0).await;
}

#[tokio::test]
async fn requests_at_once_have_instances_up_to_the_bound() {
    let waits = "(return (i32.or (i32.const 2) (i32.shl (call $set-new) (i32.const 4))))";
    let never = fixture(BEGIN, waits, |_| ());
    let all = (0..8).map(|_| never.get());
    let all = futures::future::join_all(all);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), all)
            .await
            .is_err()
    );
    assert_eq!(never.service.instances(), 4);
}

#[tokio::test]
async fn dropping_the_service_ends_its_instances() {
    let hello = fixture(BEGIN, BEGIN, |_| ());
    hello.get().await.unwrap();
    let memory = hello.service.inner.spec.instance.memory.clone();
    assert!(memory.used() > 0);
    drop(hello.service);
    until("its memory is free", || memory.used() == 0).await;
}
