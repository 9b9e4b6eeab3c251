//! What a line needs from the world: programs, files, and somewhere to write.

use std::future::Future;

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// Its name as it was written, then its arguments. Never empty.
    pub words: Vec<String>,
    /// Everything it finds in its environment, in order of names.
    pub environment: Vec<(String, String)>,
    /// An absolute path.
    pub directory: String,
    /// Where its standard streams lead.
    pub streams: Streams,
}

/// Where a program's standard streams lead, after redirections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Standard input.
    pub input: Input,
    /// Standard output.
    pub output: Output,
    /// Standard error.
    pub errors: Output,
}

impl Streams {
    pub(crate) fn standard() -> Self {
        Self {
            input: Input::Standard,
            output: Output::Standard,
            errors: Output::Errors,
        }
    }
}

/// What a program reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// The input of the whole line.
    #[default]
    Standard,
    /// Nothing: `</dev/null`.
    Empty,
}

/// Where output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The output of the whole line.
    #[default]
    Standard,
    /// Its error output.
    Errors,
    /// Nowhere: `>/dev/null`.
    Null,
}

/// How a command ended: 0 is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExitStatus(pub u8);

impl ExitStatus {
    /// 0.
    pub const SUCCESS: Self = Self(0);
    /// 1, what a built-in command gives for most errors.
    pub const FAILURE: Self = Self(1);
    /// 2, for a line that cannot be parsed and for wrong use of a built-in command.
    pub const SYNTAX: Self = Self(2);
    /// 126, for a program that is there and cannot be run.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// 127, for a program that is not there.
    pub const NOT_FOUND: Self = Self(127);

    /// The status of a program that a signal ended: 128 and its number, as 130 for an interrupt.
    pub fn from_signal(number: u8) -> Self {
        Self(number.wrapping_add(128))
    }

    /// Whether it is 0.
    pub fn is_success(self) -> bool {
        self == Self::SUCCESS
    }
}

/// Why a program was not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The slug has no such program: status 127.
    #[error("no such program")]
    NotFound,
    /// There is such a file, and it is no program: status 126.
    #[error("not a program")]
    NotExecutable,
    /// A directory has this name: status 126.
    #[error("a directory")]
    IsDirectory,
    /// It could not be started for another reason, which is told to the user: status 126.
    #[error("{0}")]
    Failed(String),
}

/// Why a file or a directory could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Nothing has this name.
    #[error("No such file or directory")]
    NotFound,
    /// A directory, where a file was asked for.
    #[error("Is a directory")]
    IsDirectory,
    /// A file, where a directory was asked for.
    #[error("Not a directory")]
    NotDirectory,
    /// Anything else, in the words of a Unix tool (`Permission denied`).
    #[error("{0}")]
    Other(String),
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, where links are not followed: in a directory's listing.
    Link,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Without the directory.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size.
    pub bytes: u64,
}

/// What a line needs from the world it runs in.
///
/// Paths are absolute, with `/` between names, and without `.` and `..`. Links are followed.
///
/// # Cancel safety
/// Every future may be dropped at any point; a program whose future is dropped must end.
pub trait Host: Send {
    /// Runs a program to its end.
    fn run(
        &mut self,
        program: Program,
    ) -> impl Future<Output = Result<ExitStatus, RunError>> + Send;

    /// Writes, waiting while the reader is slow. [`Output::Null`] never arrives here.
    ///
    /// Lines end with `\n`; a host whose reader is a raw terminal sends `\r\n`. What is given at once goes out at once,
    /// in one chunk: the client looks for [the exit code's mark](crate::exit_code) in each chunk alone.
    fn write(&mut self, output: Output, bytes: &[u8]) -> impl Future<Output = ()> + Send;

    /// What the path stands for, if for anything.
    fn kind(&mut self, path: &str) -> impl Future<Output = Option<FileKind>> + Send;

    /// Lists a directory without `.` and `..`, in any order; at most `entries_max`.
    fn list(
        &mut self,
        path: &str,
        entries_max: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, FileError>> + Send;

    /// Writes a whole file to an output, piece by piece. For [`Output::Null`] it only checks that the file can be read.
    fn copy(
        &mut self,
        path: &str,
        output: Output,
    ) -> impl Future<Output = Result<(), FileError>> + Send;
}
