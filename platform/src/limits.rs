//! Every bound of the control plane: what it is, why this number, and what happens at it.

use std::time::Duration;

/// Bytes of one stored value. etcd, the cluster engine, refuses 1.5 MiB and slows down far earlier.
pub const STORE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Checks and writes of one transaction; etcd's own default is 128.
pub const STORE_TRANSACTION_OPERATIONS_MAX: usize = 64;
/// Bytes of one key.
pub const STORE_KEY_BYTES_MAX: usize = 512;
/// Entries one `list` call answers; the caller pages on.
pub const STORE_LIST_ENTRIES_MAX: usize = 1_000;
/// Revisions kept for watchers; a watcher that is further behind is told to list again.
pub const STORE_HISTORY_REVISIONS_MAX: u64 = 10_000;
/// Jobs waiting for the store's threads; beyond it callers wait.
pub const STORE_QUEUE_MAX: usize = 256;
/// Events handed to a watcher at once.
pub const STORE_WATCH_BATCH_MAX: usize = 256;
/// Tries of a compare-and-set loop before the caller is told that the object is too busy.
pub const STORE_CONFLICT_RETRIES_MAX: usize = 16;

/// Plaintext bytes of an app's config vars, as JSON. Heroku allows 64 kB; the sealed form must fit one value.
pub const CONFIG_VARS_BYTES_MAX: usize = 64_000;
/// Config vars of one app.
pub const CONFIG_VARS_MAX: usize = 1_000;
/// Bytes of a config var's name.
pub const CONFIG_VAR_NAME_BYTES_MAX: usize = 256;
const _: () = assert!(CONFIG_VARS_BYTES_MAX + 256 < STORE_VALUE_BYTES_MAX);

/// Apps of one installation.
pub const APPS_MAX: usize = 100_000;
/// Dynos of one process type (Heroku's default limit).
pub const DYNOS_PER_TYPE_MAX: u32 = 100;
/// Process types of one app.
pub const PROCESS_TYPES_MAX: usize = 64;
/// One-off dynos of one app at a time.
pub const ONE_OFF_DYNOS_MAX: usize = 50;
/// How long a one-off dyno lives when nobody says otherwise, and at most (Heroku's day).
pub const ONE_OFF_LIFETIME_MAX: Duration = Duration::from_hours(24);
/// One-off dynos of the host that wait for their clients; beyond it a new one is refused.
pub const SESSIONS_AWAITED_MAX: usize = 1_000;
/// How long a dyno waits for its client (R13). The CLI connects at once.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(30);
/// Between the greeting of a client and the first output: it throws away the whole chunk that the greeting is in.
pub const GREETING_HEAD_START: Duration = Duration::from_millis(100);
/// Silence both ways after which an attached client counts as gone (the CLI's hour).
pub const ATTACHED_IDLE_TIMEOUT: Duration = Duration::from_hours(1);
/// Bytes that wait in each direction between a client and its guest; beyond it the one that sends waits.
pub const ATTACHED_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that are read from a client at once.
pub const ATTACHED_CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of a line on a terminal until it is handed over (Linux's number).
pub const TERMINAL_LINE_BYTES_MAX: usize = 4_095;
/// How long a `^D` at the end of a chunk may be followed by more; then it was the end of a pipe.
pub const PIPE_END_PATIENCE: Duration = Duration::from_millis(250);

/// Bytes of a one-off's command.
pub const COMMAND_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a release's or slug's description.
pub const DESCRIPTION_BYTES_MAX: usize = 512;
/// Buildpacks of one app.
pub const BUILDPACKS_MAX: usize = 16;

/// Keys beside the installation's own. All of them are read to find one by its id.
pub const AUTHORIZATIONS_MAX: usize = 100;

/// Logins with a browser that are under way; beyond it a new one is refused. Anybody may begin one.
pub const BROWSER_LOGINS_MAX: usize = 100;
/// How long a person has to show the key (the CLI waits ten minutes).
pub const BROWSER_LOGIN_LIFETIME: Duration = Duration::from_mins(10);
/// How long a key lives that a browser gave (the CLI's thirty days for a login without one).
pub const BROWSER_TOKEN_LIFETIME: Duration = Duration::from_hours(30 * 24);

/// Bytes of a JSON request body (an app's whole config fits).
pub const API_BODY_BYTES_MAX: usize = 256 * 1024;
/// Items of a page when the client names no number.
pub const PAGE_ITEMS_DEFAULT: usize = 200;
/// Items of a page at most.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Tokens of the API's rate limit bucket (Heroku's number).
pub const RATE_LIMIT_TOKENS_MAX: u32 = 4_500;
/// Tokens that flow back per minute. Heroku gives 75; this is one host with one account, so the bucket refills at once.
pub const RATE_LIMIT_TOKENS_PER_MINUTE: u32 = 4_500;

/// Bytes of an uploaded source archive (compressed).
pub const SOURCE_ARCHIVE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of a source tree once unpacked.
pub const SOURCE_TREE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Files, folders and links of a source tree.
pub const SOURCE_ENTRIES_MAX: u64 = 200_000;
/// Bytes of one path in a source archive.
pub const SOURCE_PATH_BYTES_MAX: usize = 1_024;
/// Folders above a file in a source archive.
pub const SOURCE_PATH_DEPTH_MAX: usize = 64;
/// How long an upload or download address of a source lives (Heroku's hour).
pub const SOURCE_URL_LIFETIME: Duration = Duration::from_hours(1);
/// Archives that may lie on disk at the same time; beyond it an upload is refused until old ones expire.
pub const SOURCES_MAX: usize = 128;
/// How often expired archives and outputs are looked for.
pub const SWEEP_PERIOD: Duration = Duration::from_mins(10);
/// Uploads that run at the same time.
pub const UPLOADS_MAX: usize = 8;

/// Builds of one app that wait; beyond it a new one is refused.
pub const BUILDS_WAITING_PER_APP_MAX: usize = 4;
/// Builds of the host that wait or run; beyond it a new one is refused.
pub const BUILDS_WAITING_MAX: usize = 64;
/// Bytes of one build's kept output; later output is dropped with one line that says so.
pub const BUILD_OUTPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Builds of one app that are remembered.
pub const BUILDS_KEPT_MAX: usize = 100;
/// A build is ended after this long (Heroku's 15 minutes, longer because a first build fetches its toolchain).
pub const BUILD_TIMEOUT: Duration = Duration::from_mins(30);
/// Outputs of builds and release commands older than this are removed; the log keeps no longer either.
pub const OUTPUT_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// How long the address of a build's output lives.
pub const OUTPUT_URL_LIFETIME: Duration = Duration::from_hours(24);

/// Days that the port's certificate is good for. Short, because it is made again at each start and by itself.
pub const CERTIFICATE_LIFETIME_DAYS: i32 = 90;
/// Days before its end at which it is made again: a month of failed tries before a client notices.
pub const CERTIFICATE_RENEWAL_DAYS: i32 = 30;
/// How often the calendar is looked at.
pub const CERTIFICATE_CHECK_PERIOD: Duration = Duration::from_hours(1);
const _: () = assert!(CERTIFICATE_RENEWAL_DAYS < CERTIFICATE_LIFETIME_DAYS);

/// Lines kept per app (Heroku's number).
pub const LOG_LINES_MAX: usize = 1_500;
/// Bytes kept per app, so that 1,500 giant lines cannot cost 15 MB.
pub const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one line; longer ones are split.
pub const LOG_LINE_BYTES_MAX: usize = 10_000;
/// Tail readers of one app.
pub const LOG_TAILS_MAX: usize = 64;
/// How long a log session's address lives before it is opened (Heroku's 5 minutes).
pub const LOG_URL_LIFETIME: Duration = Duration::from_mins(5);
/// How long an opened log session may be resumed after its connection broke.
pub const LOG_URL_RESUME_LIFETIME: Duration = Duration::from_hours(24);
/// Silence after which a stream gets a heartbeat.
pub const STREAM_HEARTBEAT: Duration = Duration::from_secs(15);
/// Lines that wait for the console before they are dropped.
pub const CONSOLE_LINES_MAX: usize = 16_384;
/// Between two batches of lines for the console.
pub const CONSOLE_PERIOD: Duration = Duration::from_millis(20);

/// A web dyno that is not up after this long is not waited for any more (R10 is the dyno's own limit).
pub const BOOT_WAIT: Duration = Duration::from_secs(75);
/// What a dyno gets between the request to stop and its end (Heroku's 30 s).
pub const STOP_GRACE: Duration = Duration::from_secs(30);
/// A release command is ended after this long.
pub const RELEASE_PHASE_TIMEOUT: Duration = Duration::from_mins(30);
/// The reconciler reads all desired state this often, whatever it was told.
pub const RECONCILE_PERIOD: Duration = Duration::from_secs(30);
/// Apps that come up at the same time after a start of the platform; the others follow.
pub const APPS_STARTING_MAX: usize = 64;
/// How long the answer to a change waits until the change is taken up. Later it is answered all the same.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(2);
/// First wait after a step failed; it doubles up to [`RECONCILE_RETRY_MAX`].
pub const RECONCILE_RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two tries of a failing step.
pub const RECONCILE_RETRY_MAX: Duration = Duration::from_mins(1);
