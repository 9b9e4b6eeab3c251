//! One request on one dyno: admission, the guest's call on this thread or another, the answer.

use super::life::{Crash, Life, Serving};
use super::response::{StreamGuard, complete, streamed};
use super::{InFlight, Queued, Shared};
use crate::body::{RequestBody, ResponseBody};
use crate::error::CallError;
use crate::limits::REQUEST_TIMEOUT;
use dyno_sandbox::limits::ORPHAN_GRACE;
use dyno_sandbox::{
    Answer, AnswerBody, Call, CallEnd, ConcurrentError, Finished, Guest, InlinePoll, NoAnswer,
    call, poll_inline,
};
use http::header::{HOST, HeaderValue};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};

type Response = http::Response<ResponseBody>;

/// Answers a request with the dyno's current life.
pub(super) async fn answer(
    shared: Arc<Shared>,
    mut request: http::Request<RequestBody>,
) -> Result<Response, CallError> {
    let Some(life) = shared.life.load_full() else {
        return Err(CallError::NotUp(Box::new(request)));
    };
    let in_flight = InFlight::begin(&shared);
    let permit = match life.admission.clone().try_acquire_owned() {
        Ok(permit) => permit,
        Err(TryAcquireError::Closed) => return Err(CallError::NotUp(Box::new(request))),
        Err(TryAcquireError::NoPermits) => {
            let Some(queued) = Queued::join(&shared) else {
                return Err(CallError::QueueFull);
            };
            let permit = life.admission.clone().acquire_owned().await;
            drop(queued);
            match permit {
                Ok(permit) => permit,
                Err(_) => return Err(CallError::NotUp(Box::new(request))),
            }
        }
    };
    if life.touch() {
        shared.enter(crate::state::DynoState::Up);
    }
    name_host(&mut request);
    match &life.serving {
        Serving::Static(site) => {
            let (parts, _) = request.into_parts();
            Ok(site.answer(&parts).await)
        }
        Serving::Concurrent(service) => {
            let answer = service.handle(request).await;
            concurrent_answer(answer, (permit, in_flight))
        }
        Serving::Instances { spec, .. } => {
            let Some(guest) = shared.process.guest() else {
                return Err(CallError::Internal("the process has no code".into()));
            };
            let instance = if shared.process.reuses_instances() {
                life.take_free(&guest)
            } else {
                None
            };
            let secure = request
                .headers()
                .get("x-forwarded-proto")
                .is_some_and(|scheme| scheme == "https");
            let (call, answer) = call(&guest, spec.clone(), instance, secure, request);
            let work = Work {
                shared: shared.clone(),
                life: life.clone(),
                guest,
                _permit: permit,
                _in_flight: in_flight,
            };
            Handling {
                call: Some(call),
                answer,
                work: Some(work),
                overtime: None,
            }
            .run()
            .await
        }
    }
}

/// A request without a host (HTTP/1.0) gets one: wasi:http wants an authority.
fn name_host(request: &mut http::Request<RequestBody>) {
    let named = request.uri().authority().is_some()
        || request
            .headers()
            .get(HOST)
            .is_some_and(|host| host.to_str().is_ok_and(|host| !host.is_empty()));
    if !named {
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("localhost"));
    }
}

fn concurrent_answer<K: Send + 'static>(
    answer: Result<http::Response<AnswerBody>, ConcurrentError>,
    keep: K,
) -> Result<Response, CallError> {
    match answer {
        Ok(response) => Ok(streamed(response, StreamGuard::keeping(keep))),
        Err(ConcurrentError::Timeout) => Err(CallError::Timeout),
        Err(ConcurrentError::NotStarted(reason)) => Err(CallError::Internal(reason.into())),
        Err(error) => Err(CallError::NoResponse {
            reason: error.to_string(),
        }),
    }
}

/// What is to be done when a call has ended; holds the request's place until then.
struct Work {
    shared: Arc<Shared>,
    life: Arc<Life>,
    guest: Arc<Guest>,
    _permit: OwnedSemaphorePermit,
    _in_flight: InFlight,
}

impl Work {
    /// Keeps the instance or, when the guest is gone, brings the dyno down. Returns the reason, for H13.
    fn settle(self, end: CallEnd) -> String {
        match end.finished {
            Finished::Returned => {
                if let Some(instance) = end
                    .instance
                    .filter(|_| self.shared.process.reuses_instances())
                {
                    self.life.give_back(instance, &self.guest);
                }
                "the handler returned without a response".into()
            }
            Finished::Exited(status) => {
                self.life.crash(Crash::Exited(status));
                format!("the process exited with status {status}")
            }
            Finished::Trapped(text) => {
                let reason = text.lines().next().unwrap_or_default().to_owned();
                self.life.crash(Crash::Trapped(text));
                reason
            }
            Finished::NotStarted(reason) => {
                tracing::warn!(
                    dyno = self.shared.options.name,
                    "no instance could be started: {reason}"
                );
                reason
            }
            Finished::CutOff => "the process was stopped".into(),
        }
    }
}

/// A call on this thread. Dropped before its head is there, it moves to the guest threads for a short grace:
/// the client has left, but the guest may be in the middle of something.
struct Handling {
    call: Option<Call>,
    answer: Answer,
    work: Option<Work>,
    overtime: Option<Pin<Box<dyn Future<Output = Overtime> + Send>>>,
}

/// Why a call is not waited for any longer.
enum Overtime {
    TimedOut,
    Cut,
}

/// What the first part of a call came to.
enum Step {
    Ended(CallEnd),
    Answered(AnswerResult),
    Struck,
    Overtime(Overtime),
}

type AnswerResult = Result<http::Response<AnswerBody>, String>;

impl Handling {
    async fn run(mut self) -> Result<Response, CallError> {
        match std::future::poll_fn(|context| self.step(context)).await {
            Step::Ended(end) => self.ended(end),
            Step::Answered(answer) => self.answered(answer),
            Step::Struck => self.struck().await,
            Step::Overtime(overtime) => Err(overtime.into()),
        }
    }

    fn step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(Step::Overtime(Overtime::Cut));
        };
        match poll_inline(call, context) {
            InlinePoll::Ready(end) => {
                self.call = None;
                return Poll::Ready(Step::Ended(end));
            }
            InlinePoll::Struck => {
                return Poll::Ready(self.take_answer().map_or(Step::Struck, Step::Answered));
            }
            InlinePoll::Waiting => {}
        }
        if let Some(answer) = self.take_answer() {
            return Poll::Ready(Step::Answered(answer));
        }
        let Some(work) = &self.work else {
            return Poll::Pending;
        };
        // Timers are made only for calls that wait: most never do.
        let overtime = self
            .overtime
            .get_or_insert_with(|| Box::pin(overtime(&work.life)));
        overtime.as_mut().poll(context).map(Step::Overtime)
    }

    /// The head, if the guest has given it. Only polling the call can make it appear.
    fn take_answer(&mut self) -> Option<AnswerResult> {
        match self.answer.try_take() {
            Ok(response) => Some(Ok(response)),
            Err(NoAnswer::Refused(reason)) => Some(Err(reason)),
            Err(NoAnswer::Pending | NoAnswer::Gone) => None,
        }
    }

    /// The guest is done: its whole body is usually there already.
    fn ended(mut self, end: CallEnd) -> Result<Response, CallError> {
        let answer = self.take_answer();
        let not_started = matches!(end.finished, Finished::NotStarted(_));
        let reason = match self.work.take() {
            Some(work) => work.settle(end),
            None => String::new(),
        };
        match answer {
            Some(Ok(response)) => Ok(complete(response)),
            Some(Err(reason)) => Err(CallError::NoResponse { reason }),
            None if not_started => Err(CallError::Internal(reason.into())),
            None => Err(CallError::NoResponse { reason }),
        }
    }

    /// The head is there and the guest goes on: the rest runs on the guest threads while the body streams.
    fn answered(mut self, answer: AnswerResult) -> Result<Response, CallError> {
        let guard = self.hand_over(|_reason| ());
        match answer {
            Ok(response) => Ok(streamed(response, guard)),
            Err(reason) => Err(CallError::NoResponse { reason }),
        }
    }

    /// The guest computes: the guest threads go on, and this waits for the head.
    async fn struck(mut self) -> Result<Response, CallError> {
        let Some(life) = self.work.as_ref().map(|work| work.life.clone()) else {
            return Err(Overtime::Cut.into());
        };
        let (ended, reason) = oneshot::channel();
        let guard = self.hand_over(move |why| drop(ended.send(why)));
        let answer = tokio::select! {
            biased;
            answer = self.answer.wait() => answer,
            overtime = overtime(&life) => return Err(overtime.into()),
        };
        match answer {
            Ok(response) => Ok(streamed(response, guard)),
            Err(NoAnswer::Refused(reason)) => Err(CallError::NoResponse { reason }),
            // The sender is dropped with the call's store, a moment before its end is known.
            Err(NoAnswer::Gone | NoAnswer::Pending) => {
                let reason = reason
                    .await
                    .unwrap_or_else(|_| "the process was stopped".into());
                Err(CallError::NoResponse { reason })
            }
        }
    }

    /// Moves the call to the guest threads. The guard decides how long it may run on.
    fn hand_over(&mut self, done: impl FnOnce(String) + Send + 'static) -> StreamGuard {
        let (deadline, guard) = StreamGuard::new();
        if let (Some(call), Some(work)) = (self.call.take(), self.work.take()) {
            let (threads, cut) = (work.shared.runtime.threads().clone(), work.life.wait_cut());
            let cut_off = async move {
                tokio::select! {
                    () = cut => {}
                    () = expired(deadline) => {}
                }
            };
            threads.finish(call, cut_off, move |end| done(work.settle(end)));
        }
        guard
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if self.call.is_some() {
            // Dropping the guard sets the deadline.
            drop(self.hand_over(|_reason| ()));
        }
    }
}

impl From<Overtime> for CallError {
    fn from(overtime: Overtime) -> Self {
        match overtime {
            Overtime::TimedOut => Self::Timeout,
            Overtime::Cut => Self::NoResponse {
                reason: "the process was stopped".into(),
            },
        }
    }
}

fn overtime(life: &Life) -> impl Future<Output = Overtime> + Send + use<> {
    let cut = life.wait_cut();
    async move {
        tokio::select! {
            () = cut => Overtime::Cut,
            () = tokio::time::sleep(REQUEST_TIMEOUT) => Overtime::TimedOut,
        }
    }
}

/// Resolves when the deadline has been set and has passed.
async fn expired(deadline: oneshot::Receiver<Instant>) {
    let at = deadline
        .await
        .unwrap_or_else(|_| Instant::now() + ORPHAN_GRACE);
    tokio::time::sleep_until(at.into()).await;
}
