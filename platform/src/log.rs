//! The log of each app: bounded, in order, followed by any number of slow readers without waiting for one.

mod console;
mod filter;
mod hub;
mod line;
mod tail;

pub use console::{ConsoleBatch, ConsoleReader};
pub(crate) use filter::LogFilter;
pub(crate) use hub::{AppLog, LogHub};
pub use line::{ConsoleLine, LogLine, LogSource};
pub(crate) use tail::{LogTail, TailItem};
