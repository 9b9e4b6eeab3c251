//! A stream into a file, counted before each write.

use super::account::{End, FileAccount, Growth};
use bytes::Bytes;
use std::fs::File;
use std::sync::Arc;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// wasmtime's stream into a file, which writes in the background, behind its dyno's account.
pub(super) struct CountedOutput {
    stream: Box<dyn OutputStream>,
    file: Arc<File>,
    /// Where the next write goes; at the end, if nowhere.
    offset: Option<u64>,
    account: Arc<FileAccount>,
    /// The write that is on its way.
    growth: Option<Growth>,
}

impl CountedOutput {
    pub(super) fn new(
        stream: Box<dyn OutputStream>,
        file: Arc<File>,
        offset: Option<u64>,
        account: Arc<FileAccount>,
    ) -> Self {
        Self {
            stream,
            file,
            offset,
            account,
            growth: None,
        }
    }

    fn grow(&mut self, bytes: usize) -> StreamResult<Growth> {
        let bytes = bytes as u64;
        let end = match self.offset {
            Some(offset) => End::At(offset.saturating_add(bytes)),
            None => End::Further(bytes),
        };
        let growth = self
            .account
            .grow(&self.file, end)
            .map_err(|error| StreamError::LastOperationFailed(error.into()))?;
        self.offset = self.offset.map(|offset| offset.saturating_add(bytes));
        Ok(growth)
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for CountedOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let growth = self.grow(bytes.len())?;
        self.stream.write(bytes)?;
        self.growth = Some(growth);
        Ok(())
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.ready().await;
        let _growth = self.grow(bytes.len())?;
        self.stream.blocking_write_and_flush(bytes).await
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let room = self.stream.check_write()?;
        if room > 0 {
            self.growth = None;
        }
        Ok(room)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
        self.growth = None;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for CountedOutput {
    async fn ready(&mut self) {
        self.stream.ready().await;
        self.growth = None;
    }
}
