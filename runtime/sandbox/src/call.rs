//! One request on one 0.2 instance, as a future that owns its store and can move between threads whole.

use crate::guest::Guest;
use crate::host::BoxError;
use crate::instance::{Instance, InstanceSpec};
use crate::limits;
use crate::scheduling::panic_text;
use crate::trap;
use bytes::Bytes;
use futures::FutureExt;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{Error, WasiBody};

type Head = Result<http::Response<WasiBody>, ErrorCode>;

/// The guest's answer, as soon as its head is known.
#[derive(Debug)]
pub struct Answer {
    head: oneshot::Receiver<Head>,
    lost: Arc<AtomicBool>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not yet.
    Pending,
    /// The guest is gone without one; how, the end of the call tells.
    Gone,
    /// The guest answered with an error instead of a response.
    Refused(String),
}

impl Answer {
    /// The response, if its head is there.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn try_take(&mut self) -> Result<http::Response<AnswerBody>, NoAnswer> {
        match self.head.try_recv() {
            Ok(head) => self.response(head),
            Err(oneshot::error::TryRecvError::Empty) => Err(NoAnswer::Pending),
            Err(oneshot::error::TryRecvError::Closed) => Err(NoAnswer::Gone),
        }
    }

    /// Waits for the response.
    ///
    /// # Errors
    /// [`NoAnswer`], but never [`NoAnswer::Pending`].
    pub async fn wait(&mut self) -> Result<http::Response<AnswerBody>, NoAnswer> {
        match (&mut self.head).await {
            Ok(head) => self.response(head),
            Err(_) => Err(NoAnswer::Gone),
        }
    }

    fn response(&self, head: Head) -> Result<http::Response<AnswerBody>, NoAnswer> {
        let response = head.map_err(|code| {
            NoAnswer::Refused(format!("the handler answered with error {code:?}"))
        })?;
        Ok(response.map(|body| AnswerBody {
            first: None,
            rest: Some(body),
            lost: self.lost.clone(),
        }))
    }
}

/// Marks a response as lost when its guest ends before it returned. Declared after the instance, so that it
/// is dropped first: whoever sees the body's channel closed by the store's end finds the mark.
struct LostUnlessReturned(Option<Arc<AtomicBool>>);

impl Drop for LostUnlessReturned {
    fn drop(&mut self) {
        if let Some(lost) = self.0.take() {
            lost.store(true, Ordering::Release);
        }
    }
}

/// A running call. Boxed, so that only this crate compiles what is inside.
pub type Call = Pin<Box<dyn Future<Output = CallEnd> + Send>>;

/// How a call ended.
#[derive(Debug)]
pub struct CallEnd {
    /// The instance, if it may serve again.
    pub instance: Option<Instance>,
    /// Why it may not.
    pub finished: Finished,
}

/// What happened to the guest.
#[derive(Debug)]
pub enum Finished {
    /// The handler returned.
    Returned,
    /// The guest ended its process (`exit`), with this status.
    Exited(i32),
    /// The guest trapped; the text has the reason and the WebAssembly frames.
    Trapped(String),
    /// No instance could be made: the pool is full, or its start failed.
    NotStarted(String),
    /// The call outlived its client by more than the grace and was dropped.
    CutOff,
}

impl Finished {
    /// What the failure to make an instance means.
    pub(crate) fn without_instance(error: &wasmtime::Error) -> Self {
        match exit_status(error) {
            Some(status) => Self::Exited(status),
            None => Self::NotStarted(format!("{error:#}")),
        }
    }
}

impl CallEnd {
    pub(crate) fn cut_off() -> Self {
        Self {
            instance: None,
            finished: Finished::CutOff,
        }
    }

    /// What a panic of a host function comes to: it ends its own guest, and nobody else notices.
    fn panicked(panic: Box<dyn Any + Send>) -> Self {
        let text = panic_text(&*panic);
        tracing::error!("the host panicked while it ran a guest: {text}");
        Self {
            instance: None,
            finished: Finished::Trapped(format!("the host failed while it ran the guest: {text}")),
        }
    }

    fn failed(error: &wasmtime::Error) -> Self {
        let finished = match exit_status(error) {
            Some(status) => Finished::Exited(status),
            None => Finished::Trapped(trap::describe(error)),
        };
        Self {
            instance: None,
            finished,
        }
    }
}

/// The status of a guest that ended its process, if that is what the error says.
pub(crate) fn exit_status(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

/// What a call runs on.
#[derive(Debug)]
pub enum Start {
    /// An instance that has answered before.
    Warm(Instance),
    /// A new one.
    Cold(Guest, Arc<InstanceSpec>),
}

/// Prepares a call. Nothing runs until the future is polled.
pub fn call<B>(start: Start, secure: bool, request: http::Request<B>) -> (Call, Answer)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, head) = oneshot::channel();
    let lost = Arc::new(AtomicBool::new(false));
    let answer = Answer {
        head,
        lost: lost.clone(),
    };
    let (parts, body) = request.into_parts();
    let body: WasiBody = if body.is_end_stream() {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    } else {
        body.map_err(|error| {
            let error: BoxError = error.into();
            Error::InternalError(Some(error.to_string()))
        })
        .boxed_unsync()
    };
    let request = http::Request::from_parts(parts, body);
    (run(start, secure, request, sender, lost), answer)
}

fn run(
    start: Start,
    secure: bool,
    request: http::Request<WasiBody>,
    sender: oneshot::Sender<Head>,
    lost: Arc<AtomicBool>,
) -> Call {
    let contained = AssertUnwindSafe(async move {
        let mut instance = match start {
            Start::Warm(instance) => instance,
            Start::Cold(guest, spec) => match Instance::new(&guest, &spec).await {
                Ok(instance) => instance,
                Err(error) => {
                    return CallEnd {
                        instance: None,
                        finished: Finished::without_instance(&error),
                    };
                }
            },
        };
        let mut lost = LostUnlessReturned(Some(lost));
        match handle(&mut instance, secure, request, sender).await {
            Ok(()) => {
                lost.0 = None;
                instance.served += 1;
                CallEnd {
                    instance: Some(instance),
                    finished: Finished::Returned,
                }
            }
            Err(error) => CallEnd::failed(&error),
        }
    });
    Box::pin(
        contained
            .catch_unwind()
            .map(|end| end.unwrap_or_else(CallEnd::panicked)),
    )
}

async fn handle(
    instance: &mut Instance,
    secure: bool,
    request: http::Request<WasiBody>,
    sender: oneshot::Sender<Head>,
) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::WasiHttpView;
    instance.store.set_epoch_deadline(limits::INLINE_TICKS);
    instance.store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
    let scheme = if secure { Scheme::Https } else { Scheme::Http };
    let mut view = instance.store.data_mut().http();
    let request = view.new_incoming_request(scheme, request)?;
    let outparam = view.new_response_outparam(sender)?;
    instance
        .proxy
        .wasi_http_incoming_handler()
        .call_handle(&mut instance.store, request, outparam)
        .await
}

/// The body of an answer: one buffer of known length where the guest had finished it, a stream otherwise.
pub struct AnswerBody {
    first: Option<Frame<Bytes>>,
    rest: Option<WasiBody>,
    lost: Arc<AtomicBool>,
}

impl AnswerBody {
    /// A body of a guest whose instance sets `lost` when it ends too early.
    pub(crate) fn of_stream(body: WasiBody, lost: Arc<AtomicBool>) -> Self {
        Self {
            first: None,
            rest: Some(body),
            lost,
        }
    }

    /// Takes what is ready without waiting. A guest that has returned has usually left its whole body in the
    /// channel: as one buffer it gets a `content-length` and goes out in one write.
    #[must_use]
    pub fn gather(mut self) -> Self {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(mut body) = self.rest.take() {
            if self.first.is_some() && body.is_end_stream() && !self.is_lost() {
                break;
            }
            self.rest = match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) if self.first.is_none() => {
                    self.first = Some(frame);
                    self.rest = Some(body);
                    continue;
                }
                Poll::Ready(Some(next)) => Some(preceded(next, body)),
                Poll::Ready(None) if self.is_lost() => {
                    Some(preceded(Err(Error::HttpResponseIncomplete), body))
                }
                Poll::Ready(None) => None,
                Poll::Pending => Some(body),
            };
            break;
        }
        self
    }

    /// Whether nothing more has to come from the guest.
    pub fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

fn preceded(next: Result<Frame<Bytes>, Error>, mut rest: WasiBody) -> WasiBody {
    let mut next = Some(next);
    let frames = futures::stream::poll_fn(move |context| match next.take() {
        Some(frame) => Poll::Ready(Some(frame)),
        None => Pin::new(&mut rest).poll_frame(context),
    });
    BodyExt::boxed_unsync(http_body_util::StreamBody::new(frames))
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        match std::task::ready!(Pin::new(rest).poll_frame(context)) {
            // The store went away before the guest had finished its body: a reader must not take it for whole.
            None if self.is_lost() => {
                self.rest = None;
                Poll::Ready(Some(Err(Error::HttpResponseIncomplete)))
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self
            .first
            .as_ref()
            .and_then(Frame::data_ref)
            .map_or(0, |data| data.len() as u64);
        match &self.rest {
            None => SizeHint::with_exact(first),
            Some(rest) => {
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(first));
                }
                hint.set_lower(rest.lower().saturating_add(first));
                hint
            }
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnswerBody")
            .field("complete", &self.rest.is_none())
            .finish()
    }
}
