//! How long the tests wait, and how much they ask for.

use std::time::Duration;

/// A first build fetches its toolchain, compiles a base component, and shares two cores with other tests.
pub const BUILD_MAX: Duration = Duration::from_mins(20);
/// A platform that has nothing to build.
pub const START_MAX: Duration = Duration::from_mins(2);
/// A verb that asks the API.
pub const VERB_MAX: Duration = Duration::from_mins(1);
/// Dynos that come up, or a release that takes over: on a busy machine a snapshot compiles a 30 MB guest first.
pub const CHANGE_MAX: Duration = Duration::from_mins(5);
/// From Ctrl-C to the end of the process: Heroku's 30 s and some.
pub const STOP_MAX: Duration = Duration::from_secs(60);
/// One request, on a machine that compiles something else.
pub const REQUEST_MAX: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// More than every buffer on the way, so that it must be streamed.
pub const LARGE_BYTES: usize = 5_000_000;
/// A body that takes several reads and writes.
pub const ECHO_BYTES: usize = 300_000;
/// Requests at the same time while a dyno crashes.
pub const LOAD_CONNECTIONS: usize = 4;
/// Good answers before the crash, and again after it.
pub const LOAD_REQUESTS: usize = 60;
/// Lines shown when a test fails.
pub const LINES_SHOWN: usize = 120;
