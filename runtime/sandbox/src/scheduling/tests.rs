//! Fairness, trials, cut-offs and panics on the guest threads, counted in CPU time and never in wall time.

use super::clock::{advance, thread_cpu_ns, ticks};
use super::{
    CURRENT, CpuShare, GuestPoll, GuestThreads, InlineCall, InlinePoll, Moved, poll_guest,
    watch_epochs,
};
use crate::call::{Call, CallEnd, Finished};
use crate::engine::{EngineKind, EngineOptions, Engines};
use crate::limits::{INLINE_TICKS, ORPHAN_GRACE, SUSPICION_DOUBLINGS_MAX};
use std::future::{pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime::{Engine, Instance, Module, Store};

const MS: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Computes for so many nanoseconds of CPU, as a guest does: struck and woken again after each slice.
fn computes(cpu_ns: u64) -> impl Future<Output = ()> + Send + Unpin {
    let mut left = cpu_ns;
    poll_fn(move |context| {
        let began = thread_cpu_ns();
        let slice = left.min(MS / 2);
        while thread_cpu_ns() - began < slice {
            std::hint::spin_loop();
        }
        left = left.saturating_sub(slice);
        if left == 0 {
            return Poll::Ready(());
        }
        strike(context);
        Poll::Pending
    })
}

/// What the epoch callback does to a guest that has had its ticks.
fn strike(context: &mut Context<'_>) {
    CURRENT.set(GuestPoll {
        struck: true,
        ..CURRENT.get()
    });
    context.waker().wake_by_ref();
}

fn returned() -> CallEnd {
    CallEnd {
        instance: None,
        finished: Finished::Returned,
    }
}

fn call_that_computes(cpu_ns: u64) -> Call {
    Box::pin(async move {
        computes(cpu_ns).await;
        returned()
    })
}

fn loops(threads: &GuestThreads, share: &Arc<CpuShare>, number: usize) -> Vec<super::Running<()>> {
    (0..number)
        .map(|_| threads.run(share, computes(u64::MAX)))
        .collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Finishes a call on the threads and gives its end.
async fn end_of(
    threads: &GuestThreads,
    share: &Arc<CpuShare>,
    call: Call,
    moved: Moved,
) -> CallEnd {
    let (sender, end) = oneshot::channel();
    let _call = threads.finish(share, call, moved, move |end| drop(sender.send(end)));
    tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap()
}

#[tokio::test]
async fn dynos_that_loop_get_cpu_by_weight() {
    let threads = GuestThreads::start(2).unwrap();
    let (large, small) = (threads.share(4), threads.share(1));
    let running = (loops(&threads, &large, 4), loops(&threads, &small, 4));
    let total = || large.used() + small.used();
    until("both have computed", || {
        total() > Duration::from_millis(500)
    })
    .await;
    let ratio = large.used().as_secs_f64() / small.used().as_secs_f64();
    assert!((3.5..4.5).contains(&ratio), "{ratio}");
    drop(running);
}

#[tokio::test]
async fn a_call_beside_sixteen_loops_of_one_dyno_gets_its_half() {
    let threads = GuestThreads::start(1).unwrap();
    let (noisy, quiet) = (threads.share(1), threads.share(1));
    let running = loops(&threads, &noisy, 16);
    until("the loops compute", || {
        noisy.used() > Duration::from_millis(20)
    })
    .await;
    let noisy_at_end = {
        let noisy = noisy.clone();
        let before = noisy.used();
        async move {
            computes(20 * MS).await;
            noisy.used().saturating_sub(before)
        }
    };
    let noisy_meanwhile = threads.run(&quiet, noisy_at_end).await.unwrap();
    // Its own 20 ms, and what was charged between the reading and its first turn.
    assert!(
        noisy_meanwhile < Duration::from_millis(30),
        "{noisy_meanwhile:?}"
    );
    drop(running);
}

#[tokio::test]
async fn a_struck_call_that_goes_on_computing_convicts_its_dyno() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    assert!(!share.is_suspected());
    let end = end_of(&threads, &share, call_that_computes(2 * MS), Moved::OnTrial).await;
    assert!(matches!(end.finished, Finished::Returned));
    until("the verdict is there", || threads.counts().convicted == 1).await;
    assert_eq!(threads.counts().tried, 1);
}

#[tokio::test]
async fn a_struck_call_that_ends_or_waits_is_cleared() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    end_of(&threads, &share, call_that_computes(1), Moved::OnTrial).await;
    until("the first is cleared", || !share.is_suspected()).await;

    let (answer, waits) = oneshot::channel();
    let call: Call = Box::pin(async move {
        waits.await.unwrap();
        returned()
    });
    let moved = threads.finish(&share, call, Moved::OnTrial, drop);
    until("the second is cleared", || !share.is_suspected()).await;
    answer.send(()).unwrap();
    drop(moved);
    assert_eq!((threads.counts().tried, threads.counts().convicted), (2, 0));
}

#[tokio::test]
async fn new_calls_are_suspected_while_one_is_on_trial() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let holds_the_thread = threads.run(&threads.share(1), async move { held.recv().is_err() });
    let ends = Box::pin(ready(returned()));
    let _moved = threads.finish(&share, ends, Moved::OnTrial, drop);
    assert!(share.is_suspected());
    drop(release);
    assert_eq!(holds_the_thread.await, Some(true));
    until("it is cleared", || !share.is_suspected()).await;
}

#[test]
fn suspicion_lasts_longer_with_each_conviction_and_is_lived_down() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    for _ in 0..SUSPICION_DOUBLINGS_MAX + 3 {
        share.try_call();
        share.judge(true);
    }
    assert!(share.is_suspected());
    assert_eq!(share.doublings(), SUSPICION_DOUBLINGS_MAX);
    for _ in 0..=SUSPICION_DOUBLINGS_MAX {
        share.behaved();
    }
    assert_eq!(share.doublings(), 0);
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_dropped_whether_it_computes_or_sleeps() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    for call in [call_that_computes(u64::MAX), Box::pin(pending())] {
        let (sender, end) = oneshot::channel();
        let moved = threads.finish(&share, call, Moved::Untried, move |end| {
            drop(sender.send(end.finished));
        });
        moved.end_within(Duration::from_millis(20));
        drop(moved);
        let end = tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap();
        assert!(matches!(end, Finished::CutOff), "{end:?}");
    }
    until("both are counted", || threads.counts().cut_off == 2).await;
}

#[tokio::test]
async fn a_call_that_ends_in_time_is_not_cut_off() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let (sender, end) = oneshot::channel();
    let moved = threads.finish(&share, call_that_computes(MS), Moved::Untried, move |end| {
        drop(sender.send(end.finished));
    });
    moved.end_within(ORPHAN_GRACE.max(PATIENCE));
    assert!(matches!(end.await.unwrap(), Finished::Returned));
}

#[tokio::test]
async fn panics_stay_with_whom_they_belong_to() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("while it is dropped");
        }
    }
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let panics = threads.run(&share, poll_fn(|_| -> Poll<()> { panic!("while it runs") }));
    assert_eq!(panics.await, None);
    let bomb = PanicsWhenDropped;
    let panics = threads.run(&share, async move {
        let _bomb = bomb;
        pending::<()>().await;
    });
    drop(panics);
    // The one thread that there is still works.
    assert_eq!(threads.run(&share, ready(7)).await, Some(7));
    until("the panic is counted", || threads.counts().panicked == 1).await;
}

#[tokio::test]
async fn dropping_the_handle_stops_what_runs() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let held = Arc::new(());
    let running: Vec<_> = [false, true]
        .into_iter()
        .map(|computing| {
            let held = held.clone();
            threads.run(&share, async move {
                if computing {
                    computes(u64::MAX).await;
                }
                pending::<()>().await;
                drop(held);
            })
        })
        .collect();
    until("it computes", || share.used() > Duration::from_millis(2)).await;
    drop(running);
    until("both are dropped", || Arc::strong_count(&held) == 1).await;
}

#[tokio::test]
async fn the_end_of_a_share_ends_what_runs_under_it_now_and_later() {
    let threads = GuestThreads::start(1).unwrap();
    let (ended, other) = (threads.share(1), threads.share(1));
    let waiting = threads.run(&ended, pending::<()>());
    let computing = threads.run(&ended, computes(u64::MAX));
    let neighbour = threads.run(&other, computes(5 * MS));
    ended.end();
    assert_eq!((waiting.await, computing.await), (None, None));
    let late = end_of(&threads, &ended, call_that_computes(MS), Moved::OnTrial).await;
    assert!(matches!(late.finished, Finished::CutOff));
    assert!(
        !ended.is_suspected(),
        "a call that never ran is not on trial"
    );
    assert_eq!(neighbour.await, Some(()));
}

#[tokio::test]
async fn the_last_handle_ends_the_threads_and_drops_what_runs() {
    let threads = GuestThreads::start(2).unwrap();
    let share = threads.share(1);
    let held = Arc::new(());
    let running: Vec<_> = (0..4)
        .map(|number| {
            let held = held.clone();
            threads.run(&share, async move {
                if number % 2 == 0 {
                    computes(u64::MAX).await;
                }
                pending::<()>().await;
                drop(held);
            })
        })
        .collect();
    until("they compute", || share.used() > Duration::from_millis(5)).await;
    drop(threads);
    until("all are dropped", || Arc::strong_count(&held) == 1).await;
    for running in running {
        assert_eq!(running.await, None);
    }
}

#[tokio::test]
async fn timers_and_files_work_on_the_guest_threads() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let waits = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        tokio::task::spawn_blocking(|| 7).await.unwrap()
    };
    assert_eq!(threads.run(&share, waits).await, Some(7));
}

#[test]
fn an_inline_call_has_one_budget_over_all_its_waits() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let one_tick_and_wait = || {
        let began = ticks();
        while ticks() == began {
            advance();
        }
    };
    let mut call = InlineCall::new(Box::pin(poll_fn(move |_| {
        one_tick_and_wait();
        Poll::Pending
    })));
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 1;
    while matches!(call.poll(&share, &mut context), InlinePoll::Waiting) {
        polls += 1;
    }
    assert!(polls <= INLINE_TICKS, "{polls}");
}

#[test]
fn an_inline_call_that_is_struck_says_so() {
    let threads = GuestThreads::start(1).unwrap();
    let share = threads.share(1);
    let mut context = Context::from_waker(Waker::noop());
    let mut call = InlineCall::new(call_that_computes(10 * MS));
    assert!(matches!(
        call.poll(&share, &mut context),
        InlinePoll::Struck
    ));
    let mut call = InlineCall::new(Box::pin(ready(returned())));
    assert!(matches!(
        call.poll(&share, &mut context),
        InlinePoll::Ready(_)
    ));
}

/// An instance of a module with a function that loops for ever and one that does not.
fn guest(engine: &Engine) -> (Store<()>, Instance) {
    let module = r#"(module
        (func (export "spin") (loop (br 0)))
        (func (export "short")))"#;
    let module = Module::new(engine, wat::parse_str(module).unwrap()).unwrap();
    let mut store = Store::new(engine, ());
    watch_epochs(&mut store);
    let Poll::Ready(instance) = poll_once(pin!(Instance::new_async(&mut store, &module, &[])))
    else {
        panic!("it waits");
    };
    let instance = instance.unwrap();
    (store, instance)
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Remembers that it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_guest_that_computes_is_struck_and_wakes_whoever_polls_it() {
    let engines = Engines::new(&EngineOptions {
        instance_slots_max: 4,
        ..EngineOptions::default()
    })
    .unwrap();
    let (mut store, instance) = guest(engines.get(EngineKind::Sequential));
    let spin = instance
        .get_typed_func::<(), ()>(&mut store, "spin")
        .unwrap();
    let mut spinning = pin!(spin.call_async(&mut store, ()));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    for ticks in [INLINE_TICKS, 1, 0] {
        woken.0.store(false, Ordering::Relaxed);
        let (poll, struck) = poll_guest(ticks, spinning.as_mut(), &mut context);
        assert!(poll.is_pending() && struck);
        assert!(woken.0.load(Ordering::Relaxed));
    }
}

#[test]
fn a_guest_that_waited_long_is_not_struck_for_it() {
    let engines = Engines::new(&EngineOptions {
        instance_slots_max: 4,
        ..EngineOptions::default()
    })
    .unwrap();
    let (mut store, instance) = guest(engines.get(EngineKind::Sequential));
    let began = ticks();
    while ticks() < began + 5 * INLINE_TICKS {
        std::thread::yield_now();
    }
    let short = instance
        .get_typed_func::<(), ()>(&mut store, "short")
        .unwrap();
    let mut call = pin!(short.call_async(&mut store, ()));
    // More ticks than a busy machine takes from one poll.
    let mut context = Context::from_waker(Waker::noop());
    let (poll, struck) = poll_guest(10_000, call.as_mut(), &mut context);
    assert!(poll.is_ready() && !struck);
}
