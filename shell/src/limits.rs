//! Every bound of this crate, with its reason.

/// Bytes of one line. A Procfile's line has a hundred; a script given to `python -c` has a few thousand.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Commands of one line, counted by what separates them (`;`, `&&`, `||`, a line end).
///
/// The grammar nests a list once for each of its commands: this bounds its stack.
pub const COMMANDS_MAX: usize = 256;

/// What can open something that is closed later: `(`, `{`, `${`, and words such as `if`, wherever they stand.
///
/// All of a line's are counted, closed or not, so that no line can be deeper than this many of them.
pub const OPENERS_MAX: usize = 64;

/// How deep `bash -c "bash -c …"` may go.
pub const SHELLS_MAX: usize = 8;

/// Bytes that the words of one command may have once variables are in them; also one variable's value.
///
/// Linux gives a program 2 MiB for its arguments and environment together.
pub const EXPANSION_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of all variables of a session, names and values. Heroku's config vars end at 64 KiB.
pub const VARIABLES_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Entries that `ls` asks the host for; what comes after is left out with a word.
pub const DIRECTORY_ENTRIES_MAX: usize = 10_000;

/// Lines that the prompt remembers; the oldest go first.
pub const HISTORY_LINES_MAX: usize = 100;

/// Bytes of an escape sequence from a terminal; a longer one is no key.
pub const KEY_BYTES_MAX: usize = 16;

// A value must fit the session, and a line its own expansion.
const _: () = assert!(EXPANSION_BYTES_MAX < VARIABLES_BYTES_MAX);
const _: () = assert!(LINE_BYTES_MAX < EXPANSION_BYTES_MAX);
// A remembered history is at most 1.6 MiB.
const _: () = assert!(HISTORY_LINES_MAX * LINE_BYTES_MAX <= 2 * 1024 * 1024);
