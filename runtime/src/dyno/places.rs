//! The places of a dyno's life, one for each call that may run at once, and the queue of those who wait for one.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A newcomer may take a free place before those who wait, until the first of them has waited for this long.
///
/// A semaphore that hands each place to the next in its queue makes every request of a busy dyno wait for a switch of
/// tasks and often of threads, and once formed, its queue never dissolves: most calls would be over before the next
/// one has woken up.
const PATIENCE: Duration = Duration::from_millis(20);

/// Why there is no place at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken, or others have waited for long.
    Taken,
    /// Nobody is let in any more.
    Closed,
}

pub(super) struct Places {
    state: Mutex<State>,
}

struct State {
    free: usize,
    closed: bool,
    /// In the order of their numbers.
    waiting: VecDeque<Waiting>,
    next_number: u64,
}

struct Waiting {
    number: u64,
    since: Instant,
    /// Empty from its wake to its next poll.
    waker: Option<Waker>,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: count,
                closed: false,
                waiting: VecDeque::new(),
                next_number: 0,
            }),
        })
    }

    /// Takes a free place.
    pub(super) fn try_take(self: &Arc<Self>) -> Result<Place, NoPlace> {
        self.try_take_by(Instant::now)
    }

    fn try_take_by(self: &Arc<Self>, now: impl Fn() -> Instant) -> Result<Place, NoPlace> {
        let mut state = self.state();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        let first = state.waiting.front();
        let others_first = first.is_some_and(|first| now() - first.since > PATIENCE);
        if state.free == 0 || others_first {
            return Err(NoPlace::Taken);
        }
        state.free -= 1;
        Ok(Place(self.clone()))
    }

    /// Waits in the queue.
    pub(super) fn wait(self: &Arc<Self>) -> Wait {
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        state.waiting.push_back(Waiting {
            number,
            since: Instant::now(),
            waker: None,
        });
        Wait {
            places: self.clone(),
            number,
            queued: true,
        }
    }

    /// Lets nobody in any more; those who wait are told. Places that are taken stay so.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.closed = true;
            mem::take(&mut state.waiting)
        };
        for waiting in waiting {
            if let Some(waker) = waiting.waker {
                waker.wake();
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Wakes as many of those who wait as there are places.
    fn wake(&self) {
        // Most often there is one, or none.
        while let Some(waker) = self.next_to_wake() {
            waker.wake();
        }
    }

    fn next_to_wake(&self) -> Option<Waker> {
        let mut state = self.state();
        let free = state.free;
        let mut first = state.waiting.iter_mut().take(free);
        first.find_map(|waiting| waiting.waker.take())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn position(&self, number: u64) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&number, |waiting| waiting.number)
            .ok()
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        formatter
            .debug_struct("Places")
            .field("free", &state.free)
            .field("closed", &state.closed)
            .field("waiting", &state.waiting.len())
            .finish()
    }
}

/// A place; free again with its drop.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.wake();
    }
}

/// Waits for a place, or for the end. Dropped, it leaves the queue.
pub(super) struct Wait {
    places: Arc<Places>,
    number: u64,
    queued: bool,
}

impl Future for Wait {
    type Output = Result<Place, NoPlace>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let places = self.places.clone();
        let mut state = places.state();
        // The end may have come before this joined the queue.
        let open = |_: &usize| !state.closed;
        let Some(position) = state.position(self.number).filter(open) else {
            return Poll::Ready(Err(NoPlace::Closed));
        };
        if position >= state.free {
            state.waiting[position].waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.waiting.remove(position);
        state.free -= 1;
        self.queued = false;
        Poll::Ready(Ok(Place(self.places.clone())))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.queued {
            return;
        }
        {
            let mut state = self.places.state();
            if let Some(position) = state.position(self.number) {
                state.waiting.remove(position);
            }
        }
        // It may have been woken for a place that is the next one's now.
        self.places.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Waiter {
        wait: Pin<Box<Wait>>,
        wakes: Arc<Wakes>,
    }

    impl Waiter {
        fn of(places: &Arc<Places>) -> Self {
            let mut waiter = Self {
                wait: Box::pin(places.wait()),
                wakes: Arc::default(),
            };
            assert!(waiter.poll().is_none(), "a place at once");
            waiter
        }

        fn poll(&mut self) -> Option<Result<Place, NoPlace>> {
            let waker = self.wakes.clone().into();
            match self.wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(place) => Some(place),
                Poll::Pending => None,
            }
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_free_place_goes_to_whoever_is_there_first() {
        let places = Places::new(1);
        let taken = places.try_take();
        assert_eq!(places.try_take().unwrap_err(), NoPlace::Taken);
        let mut waiter = Waiter::of(&places);
        drop(taken);
        assert_eq!(waiter.wakes(), 1);
        let newcomer = places.try_take().expect("a newcomer goes first");
        assert!(waiter.poll().is_none());
        drop(newcomer);
        assert_eq!(waiter.wakes(), 2);
        let place = waiter.poll().expect("a place").expect("open");
        assert_eq!(places.try_take().unwrap_err(), NoPlace::Taken);
        drop(place);
        assert!(places.try_take().is_ok());
    }

    #[test]
    fn who_has_waited_for_long_goes_before_newcomers() {
        let places = Places::new(1);
        let taken = places.try_take();
        let mut waiter = Waiter::of(&places);
        drop(taken);
        let late = Instant::now() + PATIENCE * 2;
        assert_eq!(
            places.try_take_by(|| late).unwrap_err(),
            NoPlace::Taken,
            "a newcomer must queue"
        );
        assert!(waiter.poll().is_some());
    }

    #[test]
    fn a_woken_waiter_that_leaves_wakes_the_next() {
        let places = Places::new(1);
        let taken = places.try_take();
        let first = Waiter::of(&places);
        let mut second = Waiter::of(&places);
        drop(taken);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        assert!(second.poll().is_none(), "the first one's place");
        drop(first);
        assert_eq!(second.wakes(), 1);
        assert!(second.poll().is_some());
    }

    #[test]
    fn the_end_tells_everybody_and_takes_nothing_away() {
        let places = Places::new(1);
        let taken = places.try_take();
        let mut waiter = Waiter::of(&places);
        places.close();
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll().expect("told").unwrap_err(), NoPlace::Closed);
        let mut late = Box::pin(places.wait());
        let poll = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(
            matches!(poll, Poll::Ready(Err(NoPlace::Closed))),
            "too late"
        );
        drop(taken);
        assert!(places.is_closed());
        assert_eq!(places.try_take().unwrap_err(), NoPlace::Closed);
    }
}
