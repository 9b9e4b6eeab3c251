//! The lines of shell that users write as commands: understood, or refused by name, and run without a shell.
//!
//! On Heroku a command (a line of the Procfile, what follows `heroku run`) is run by bash. A dyno is a WebAssembly
//! component and has no bash, so this crate does what such lines need: [`Line::parse`] understands one, [`run`] runs it over
//! a [`Host`], which has the programs and the files, and [`prompt`](fn@prompt) is what `heroku run bash` gives.
//!
//! ```
//! use dyno_shell::{Line, Session};
//!
//! let session = Session::new([("PORT", "5000")], "/app");
//! let line = Line::parse("exec gunicorn shop.wsgi --bind 0.0.0.0:$PORT")?;
//!
//! // One program: the runtime starts it directly. Whatever else a line may be, `run` runs it.
//! let simple = line.to_simple(&session).unwrap();
//! assert_eq!(simple.words, ["gunicorn", "shop.wsgi", "--bind", "0.0.0.0:5000"]);
//! # Ok::<(), dyno_shell::ParseError>(())
//! ```
//!
//! # What is understood
//!
//! As bash 5.2 does it, to the letter of its output and its statuses; `tests/bash.rs` runs these and lines made by chance
//! in both. Any other difference is a bug.
//!
//! | what | |
//! |---|---|
//! | quoting | `'a'` `"a $B"` `\a`, a backslash at a line's end, `# comment` |
//! | variables | `$A` `${A}` `$?`, `${A:-x}` `${A:=x}` `${A:+x}` `${A:?x}` also without the colon; values outside quotes are split at white space |
//! | home | `~` `~/x`, `A=~/x:~/y` |
//! | assignments | `A=b` `A+=b`, `A=b program`, `export A=b`, `unset A` |
//! | lists | `a; b`, `a && b`, `a \|\| b`, line ends, `! a`, `{ a; }`, `( a )` |
//! | redirections | `>/dev/null` `2>/dev/null` `&>/dev/null` `</dev/null` `2>&1` `>&2`, of programs and of groups |
//! | built in | `:` `[` `cd` `echo` `exec` `exit` `export` `false` `pwd` `test` `true` `unset` |
//! | where the slug has no such program | `cat FILE`, `env`, `ls` with `-a` `-l` `-1`, `bash -c LINE`, `sh -c LINE` |
//! | statuses | 127 not found, 126 not to be run, 2 not parsed, 128 and more for signals |
//!
//! # What is refused
//!
//! With [`ParseError::Unsupported`], before anything runs: its [`Construct`] has a name and a hint, and the error tells the
//! place. Pipes, redirections to files, here-documents, `$( )` and backquotes, `<( )`, arithmetic, `&`, loops, `if` and
//! `case`, functions, `coproc`, `time`, `[[ ]]`, arrays, unquoted `*`, `?`, `[a]`, `{a,b}`, `$' '`, `$" "`, `$1`, `$@`, `$$` and their like,
//! `$RANDOM` and the others that bash works out, `${A#x}` and their like, quotes inside `"${A:-…}"`, `~name`, `IFS=`, and
//! the built-in commands of bash that are not above, such as `source`, `set` and `read`.
//!
//! ```
//! use dyno_shell::{Construct, Line, ParseError};
//!
//! let error = Line::parse("bin/server & bin/worker").unwrap_err();
//! assert!(matches!(error, ParseError::Unsupported { construct: Construct::Background, at } if at.column == 12));
//! assert_eq!(error.to_string(), "\
//! a command in the background (&) at column 12 is not understood: dynos have no shell, only a part of one
//!   hint: give the second program a process type of its own in the Procfile");
//! ```
//!
//! # Where it differs
//!
//! - What comes out of a variable is never a file name pattern. bash would take `$URL` with a `?` in it for one, and leave it
//!   as it is only because no file fits.
//! - In a word that also has a `$` before no name, bash does not split values (`$A$`). They are split here.
//! - Messages begin with `bash: `, without the number of the line. Those about wrong options of a built-in command are ours.
//! - `SHLVL` and `_` are not set, and `env` prints in order of names. `ls` prints a name on each line, and `ls -l` less than usual.
//! - `test` has `-n` `-z` `-e` `-f` `-d` `=` `!=`, the comparisons of numbers, and one `!`.
//!
//! # Bounds
//!
//! [`limits`] has them all: a line's length, its commands and its depth, what variables may become, what a prompt keeps.
//! Parsing takes no more than a small stack and time in proportion to the line, whatever the line is.
//!
//! # The grammar
//!
//! The grammar is [rable](https://docs.rs/rable)'s, a parser of bash's whole language with no dependencies, held against
//! bash's own. The lexer here runs before it, makes the words, and refuses what could make its recursion deep.
//! `brush-parser` 0.4.0 was tried first and is not fit for lines of strangers: it panics (`echo ~99999999999999999999`,
//! `99999999999>x`), it has no bound (`if if if …` overflows the stack, which ends the process; nested `${a[…]}` takes ten times as
//! long for each level), it changes text (`"${A:-a  b}"` loses a space), it keeps words, which may be secrets, in a cache of
//! the whole process, and it needs 70 crates, a snapshot test library among them.

#![warn(missing_docs)]

mod builtins;
mod construct;
mod error;
pub mod exit_code;
mod expansion;
mod host;
mod interpreter;
mod lexer;
pub mod limits;
mod line;
mod path;
mod prompt;
mod session;
mod syntax;
mod tilde;
mod word;

pub use construct::Construct;
pub use error::{ParseError, Position};
pub use host::{
    Entry, ExitStatus, FileError, FileKind, Host, Input, Output, Program, RunError, Streams,
};
pub use interpreter::run;
pub use line::{Line, Simple};
pub use prompt::{Style, Terminal, is_requested as is_prompt_requested, prompt};
pub use session::{Session, VariableTooLarge};
