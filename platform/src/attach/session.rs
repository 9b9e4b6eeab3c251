//! One attached client: its bytes to the guest, the guest's bytes back, and the end of either.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dyno_router::RendezvousStream;
use dyno_runtime::{ClientKind, ClientStreams};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::client_input::{LineDiscipline, PipedInput, Typed};
use crate::limits::{
    ATTACHED_CHUNK_BYTES, ATTACHED_IDLE_TIMEOUT, GREETING_HEAD_START, PIPE_END_PATIENCE,
};

/// What the client was promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached {
    pub client: ClientKind,
    /// The client looks for the exit status among the output (`heroku run --exit-code`).
    pub reports_status: bool,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The guest has printed all it had.
    Over,
    /// The client pressed `^C`, and is still there.
    Interrupted,
    /// The client has gone, or was silent for too long.
    HungUp,
}

/// A greeted client.
pub(crate) struct Session {
    stream: RendezvousStream,
    attached: Attached,
    /// Output before this may be lost with the greeting.
    output_from: Instant,
    /// Whether the output ended in a line.
    at_line_start: bool,
}

impl Session {
    /// Greets the client, which from then on sends what is typed.
    pub async fn begin(mut stream: RendezvousStream, attached: Attached) -> io::Result<Self> {
        stream.greet().await?;
        Ok(Self {
            stream,
            attached,
            output_from: Instant::now() + GREETING_HEAD_START,
            at_line_start: true,
        })
    }

    /// Carries bytes both ways until either side ends.
    pub async fn run(&mut self, guest: &ClientStreams) -> SessionEnd {
        let (reader, writer) = tokio::io::split(&mut self.stream);
        let last = Activity::default();
        let output = Output {
            writer,
            is_terminal: self.attached.client == ClientKind::Terminal,
            at_line_start: &mut self.at_line_start,
        };
        let typing = type_in(reader, self.attached.client, guest, &last);
        let printing = print(output, self.output_from, guest, &last);
        tokio::select! {
            biased;
            printed = printing => match printed {
                Ok(()) => SessionEnd::Over,
                Err(_) => SessionEnd::HungUp,
            },
            end = typing => end,
            () = last.silence(ATTACHED_IDLE_TIMEOUT) => SessionEnd::HungUp,
        }
    }

    /// Shows the rest of the output, when the guest was ended from here.
    pub async fn finish_output(&mut self, guest: &ClientStreams) {
        let output = Output {
            writer: tokio::io::split(&mut self.stream).1,
            is_terminal: self.attached.client == ClientKind::Terminal,
            at_line_start: &mut self.at_line_start,
        };
        // A client that has gone in the meantime misses it.
        let _ = print(output, self.output_from, guest, &Activity::default()).await;
    }

    /// Tells the client how it ended, and closes the connection.
    pub async fn end(mut self, status: i32) {
        if self.attached.reports_status {
            // The client is told, or has gone.
            let _ = self.tell_status(status).await;
        }
        self.stream.close().await;
    }

    async fn tell_status(&mut self, status: i32) -> io::Result<()> {
        sleep_until(self.output_from).await;
        if !self.at_line_start {
            self.stream.write_all(b"\n").await?;
        }
        // In one write after a flush: the client does not look for it across chunks.
        self.stream.flush().await?;
        let marker = format!("\u{ffff} heroku-command-exit-status: {status}\n");
        self.stream.write_all(marker.as_bytes()).await?;
        self.stream.flush().await
    }
}

/// When a byte last went either way.
struct Activity(Mutex<Instant>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Activity {
    fn note(&self) {
        *self.lock() = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn silence(&self, longest: Duration) {
        loop {
            let end = *self.lock() + longest;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

async fn type_in(
    mut reader: ReadHalf<&mut RendezvousStream>,
    client: ClientKind,
    guest: &ClientStreams,
    last: &Activity,
) -> SessionEnd {
    let mut buffer = vec![0; ATTACHED_CHUNK_BYTES];
    let (mut terminal, mut pipe) = (LineDiscipline::default(), PipedInput::default());
    loop {
        let read = if pipe.may_be_over() {
            match timeout(PIPE_END_PATIENCE, reader.read(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => {
                    guest.end_input();
                    reader.read(&mut buffer).await
                }
            }
        } else {
            reader.read(&mut buffer).await
        };
        let length = match read {
            Ok(0) | Err(_) => return SessionEnd::HungUp,
            Ok(length) => length,
        };
        last.note();
        if client == ClientKind::Pipe {
            guest.type_in(&pipe.take(&buffer[..length])).await;
            continue;
        }
        for typed in terminal.take(&buffer[..length]) {
            match typed {
                Typed::Echo(bytes) => guest.echo(&bytes).await,
                Typed::Bytes(bytes) => guest.type_in(&bytes).await,
                Typed::End => guest.end_input(),
                Typed::Interrupt => return SessionEnd::Interrupted,
            }
        }
    }
}

struct Output<'a> {
    writer: WriteHalf<&'a mut RendezvousStream>,
    is_terminal: bool,
    at_line_start: &'a mut bool,
}

impl Output<'_> {
    async fn show(&mut self, chunk: &[u8]) -> io::Result<()> {
        if let Some(last) = chunk.last() {
            *self.at_line_start = *last == b'\n';
        }
        if self.is_terminal {
            self.writer.write_all(&with_carriage_returns(chunk)).await?;
        } else {
            self.writer.write_all(chunk).await?;
        }
        self.writer.flush().await
    }
}

async fn print(
    mut output: Output<'_>,
    from: Instant,
    guest: &ClientStreams,
    last: &Activity,
) -> io::Result<()> {
    // The first chunk that the client reads is thrown away, whole; it must be the greeting alone.
    sleep_until(from).await;
    while let Some(chunk) = guest.read().await {
        // A client that does not read is as silent as one that does not type.
        match timeout_at(Instant::now() + ATTACHED_IDLE_TIMEOUT, output.show(&chunk)).await {
            Ok(shown) => shown?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        last.note();
    }
    Ok(())
}

/// A terminal in raw mode goes down at a line feed, and not back to the left.
fn with_carriage_returns(chunk: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(chunk.len() + 16);
    for &byte in chunk {
        if byte == b'\n' {
            shown.push(b'\r');
        }
        shown.push(byte);
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::{Activity, with_carriage_returns};
    use crate::limits::ATTACHED_IDLE_TIMEOUT;

    #[tokio::test]
    async fn silence_is_counted_from_the_last_byte() {
        let last = Activity::default();
        last.silence(Duration::ZERO).await;
        last.note();
        assert!(last.silence(ATTACHED_IDLE_TIMEOUT).now_or_never().is_none());
    }

    #[test]
    fn a_terminal_returns_at_each_line() {
        assert_eq!(with_carriage_returns(b"a\n\nb"), b"a\r\n\r\nb");
    }
}
