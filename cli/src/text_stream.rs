//! Lines of an answer that comes in pieces.

use anyhow::Context as _;
use reqwest::Response;

/// The platform's longest line has 10,000 bytes; what has no end is cut.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Reads lines as they come.
pub struct Lines {
    response: Response,
    pending: Vec<u8>,
    is_over: bool,
}

impl Lines {
    pub fn new(response: Response) -> Lines {
        Lines {
            response,
            pending: Vec::new(),
            is_over: false,
        }
    }

    /// The next line without its newline; `None` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if self.is_over {
                return Ok(None);
            }
            match self
                .response
                .chunk()
                .await
                .context("the stream broke off")?
            {
                // A NUL is the heartbeat of a build that says nothing for a while.
                Some(chunk) => self.pending.extend(chunk.iter().filter(|byte| **byte != 0)),
                None => self.is_over = true,
            }
        }
    }

    fn take(&mut self) -> Option<String> {
        let end = self.pending.iter().position(|byte| *byte == b'\n');
        let (length, skip) = match end {
            Some(end) => (end, 1),
            None if self.pending.len() > LINE_BYTES_MAX => (LINE_BYTES_MAX, 0),
            None if self.is_over && !self.pending.is_empty() => (self.pending.len(), 0),
            None => return None,
        };
        let line = String::from_utf8_lossy(&self.pending[..length]).into_owned();
        self.pending.drain(..length + skip);
        Some(line)
    }
}
