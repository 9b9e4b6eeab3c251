//! One request on one dyno: admission, the guest's call on this thread or another, the answer.

use super::admission::{Refused, admit};
use super::life::{Crash, Life, Serving, serves_on};
use super::places::Place;
use super::response::{StreamGuard, complete, streamed};
use super::{InFlight, Shared};
use crate::body::{RequestBody, ResponseBody};
use crate::error::CallError;
use crate::limits::REQUEST_TIMEOUT;
use dyno_sandbox::{
    Answer, AnswerBody, CallEnd, ConcurrentError, Finished, Guest, InlineCall, InlinePoll, Moved,
    NoAnswer, Start, call,
};
use http::header::{HOST, HeaderValue};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

type Response = http::Response<ResponseBody>;

/// Answers a request with the dyno's current life.
pub(super) async fn answer(
    shared: Arc<Shared>,
    mut request: http::Request<RequestBody>,
) -> Result<Response, CallError> {
    let in_flight = InFlight::begin(&shared);
    let (life, place) = match admit(&shared).await {
        Ok(place) => place,
        Err(Refused::NotUp) => return Err(CallError::NotUp(Box::new(request))),
        Err(Refused::QueueFull) => return Err(CallError::QueueFull),
        Err(Refused::HostFull) => return Err(CallError::HostFull),
    };
    name_host(&mut request);
    let (free, spec, guest) = match &life.serving {
        Serving::Static(site) => {
            let (parts, _) = request.into_parts();
            return Ok(site.answer(&parts).await);
        }
        Serving::Concurrent(service) => {
            let answer = service.handle(request).await;
            return concurrent_answer(answer, (place, in_flight));
        }
        Serving::Port(port) => return port.answer(request, (place, in_flight)).await,
        Serving::Instances { free, spec, guest } => (free, spec, guest),
    };
    let (home, guest_id) = (free.home(), guest.id());
    let reused = if shared.process.reuses_instances() {
        free.take(home, |instance| serves_on(instance, guest_id))
    } else {
        None
    };
    let start = match reused {
        Some(instance) => Start::Warm(instance),
        None => Start::Cold(Guest::clone(guest), spec.clone()),
    };
    let secure = request
        .headers()
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let request_id = request.headers().get("x-request-id").cloned();
    let (call, answer) = call(start, secure, request);
    let work = Work {
        request_id,
        shared,
        life,
        guest_id,
        home,
        _place: place,
        _in_flight: in_flight,
    };
    Handling {
        call: Some(InlineCall::new(call)),
        answer,
        work: Some(work),
        overtime: None,
    }
    .run()
    .await
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
        Ok(response) if response.body().is_whole() => Ok(complete(response)),
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
    /// As the router names it, for the app's log.
    request_id: Option<HeaderValue>,
    shared: Arc<Shared>,
    life: Arc<Life>,
    guest_id: u64,
    /// Where its instance goes when it is free again.
    home: usize,
    _place: Place,
    _in_flight: InFlight,
}

impl Work {
    fn is_suspected(&self) -> bool {
        self.shared.cpu.is_suspected()
    }

    /// Keeps the instance or, when the guest is gone, brings the dyno down.
    fn settle(self, end: CallEnd) -> NoResponse {
        let not_started = matches!(end.finished, Finished::NotStarted(_));
        let reason = match end.finished {
            Finished::Returned => {
                let instance = end.instance;
                if let Some(instance) = instance.filter(|_| self.shared.process.reuses_instances())
                {
                    self.life.give_back(self.home, instance, self.guest_id);
                }
                "the handler returned without a response".into()
            }
            Finished::Exited(status) => {
                self.life.crash(Crash::Exited(status));
                format!("the process exited with status {status}")
            }
            Finished::Trapped(text) => {
                let reason = text.lines().next().unwrap_or_default().to_owned();
                let id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
                self.life.crash(Crash::Trapped(match id {
                    Some(id) => format!("error: request {id} ended the process (H13): {text}"),
                    None => format!("error: a request ended the process (H13): {text}"),
                }));
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
        };
        NoResponse {
            not_started,
            reason,
        }
    }
}

/// A call on this thread. Dropped before its head is there, it moves to the guest threads for a short grace:
/// the client has left, but the guest may be in the middle of something.
struct Handling {
    call: Option<InlineCall>,
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
        if self.work.as_ref().is_some_and(Work::is_suspected) {
            return self.elsewhere(Moved::Untried).await;
        }
        match std::future::poll_fn(|context| self.step(context)).await {
            Step::Ended(end) => self.ended(end),
            Step::Answered(answer) => self.answered(answer),
            Step::Struck => self.elsewhere(Moved::OnTrial).await,
            Step::Overtime(overtime) => Err(overtime.into()),
        }
    }

    fn step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let (Some(call), Some(work)) = (&mut self.call, &self.work) else {
            return Poll::Ready(Step::Overtime(Overtime::Cut));
        };
        match call.poll(&work.shared.cpu, context) {
            InlinePoll::Ready(end) => {
                self.call = None;
                return Poll::Ready(Step::Ended(end));
            }
            InlinePoll::Struck => return Poll::Ready(Step::Struck),
            InlinePoll::Waiting => {}
        }
        if let Some(answer) = taken(&mut self.answer) {
            return Poll::Ready(Step::Answered(answer));
        }
        // Timers are made only for calls that wait: most never do.
        let overtime = self
            .overtime
            .get_or_insert_with(|| Box::pin(overtime(&work.life)));
        overtime.as_mut().poll(context).map(Step::Overtime)
    }

    /// The guest is done: its whole body is usually there already.
    fn ended(mut self, end: CallEnd) -> Result<Response, CallError> {
        let answer = taken(&mut self.answer);
        let Some(work) = self.work.take() else {
            return Err(Overtime::Cut.into());
        };
        let end = work.settle(end);
        match answer {
            Some(Ok(response)) => Ok(complete(response)),
            Some(Err(reason)) => Err(CallError::NoResponse { reason }),
            None => Err(end.into()),
        }
    }

    /// The head is there and the guest goes on: the rest runs on the guest threads while the body streams.
    fn answered(mut self, answer: AnswerResult) -> Result<Response, CallError> {
        let guard = self.hand_over(Moved::Untried, |_end| ());
        match (answer, guard) {
            (Ok(response), Some(guard)) => Ok(streamed(response, guard)),
            (Ok(_), None) => Err(Overtime::Cut.into()),
            (Err(reason), _) => Err(CallError::NoResponse { reason }),
        }
    }

    /// The guest threads run the call, and this waits for the head.
    async fn elsewhere(mut self, moved: Moved) -> Result<Response, CallError> {
        let Some(life) = self.work.as_ref().map(|work| work.life.clone()) else {
            return Err(Overtime::Cut.into());
        };
        let (ended, end) = oneshot::channel();
        let Some(guard) = self.hand_over(moved, move |end| drop(ended.send(end))) else {
            return Err(Overtime::Cut.into());
        };
        let answer = tokio::select! {
            biased;
            answer = self.answer.wait() => answer,
            overtime = overtime(&life) => return Err(overtime.into()),
        };
        match answer {
            Ok(response) => Ok(streamed(response, guard)),
            Err(NoAnswer::Refused(reason)) => Err(CallError::NoResponse { reason }),
            // The sender is dropped with the call's store, a moment before its end is known.
            Err(NoAnswer::Gone | NoAnswer::Pending) => Err(match end.await {
                Ok(end) => end.into(),
                Err(_) => Overtime::Cut.into(),
            }),
        }
    }

    /// Moves the call to the guest threads. The guard decides how long it may run on.
    fn hand_over(
        &mut self,
        moved: Moved,
        done: impl FnOnce(NoResponse) + Send + Unpin + 'static,
    ) -> Option<StreamGuard> {
        let (call, work) = (self.call.take()?, self.work.take()?);
        let (threads, share) = (
            work.shared.runtime.threads().clone(),
            work.shared.cpu.clone(),
        );
        let call = threads.finish(&share, call.into_call(), moved, move |end| {
            done(work.settle(end));
        });
        Some(StreamGuard::of_call(call))
    }
}

/// The head, if the guest has given it.
fn taken(answer: &mut Answer) -> Option<AnswerResult> {
    match answer.try_take() {
        Ok(response) => Some(Ok(response)),
        Err(NoAnswer::Refused(reason)) => Some(Err(reason)),
        Err(NoAnswer::Pending | NoAnswer::Gone) => None,
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        // Dropping the guard sets the deadline.
        drop(self.hand_over(Moved::Untried, |_end| ()));
    }
}

/// A call that has ended without a response.
struct NoResponse {
    not_started: bool,
    reason: String,
}

impl From<NoResponse> for CallError {
    fn from(end: NoResponse) -> Self {
        if end.not_started {
            Self::Internal(end.reason.into())
        } else {
            Self::NoResponse { reason: end.reason }
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
