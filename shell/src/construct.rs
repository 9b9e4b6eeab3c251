//! What a shell has and this one does not: names for people, and what to do instead.

/// A construct of bash that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Construct {
    /// `a | b`
    Pipe,
    /// `a > file`, `a < file`, and all others that are not of `/dev/null`, stdout or stderr.
    Redirection,
    /// `a << END`
    HereDocument,
    /// `a <<< word`
    HereString,
    /// `<(a)`, `>(a)`
    ProcessSubstitution,
    /// `$(a)`, and the same in backquotes.
    CommandSubstitution,
    /// `$((1 + 1))`, `((a++))`, `$[1 + 1]`
    Arithmetic,
    /// `a &`
    Background,
    /// `for`, `while`, `until`, `select`
    Loop,
    /// `if`, `case`
    Condition,
    /// `f() { …; }`
    Function,
    /// `coproc a`
    Coprocess,
    /// `time a`
    Time,
    /// `[[ a == b ]]`
    DoubleBracket,
    /// `A=(1 2)`, `A[0]=1`
    Array,
    /// `*`, `?`, `[a-z]` outside quotes.
    Glob,
    /// `{a,b}`, `{1..3}`
    BraceExpansion,
    /// `$'a\n'`
    AnsiQuote,
    /// `$"text"`
    LocaleQuote,
    /// `$1`, `$@`, `$#`, `$$`, `$!`, `$-`, `$0`, `$_`
    SpecialParameter,
    /// `$RANDOM`, `$SECONDS` and the others that bash works out.
    ComputedVariable,
    /// `${A#x}`, `${A/x/y}`, `${#A}`, `${!A}`, `${A[0]}` and the like.
    ParameterOperation,
    /// A quote or a backslash inside `${A:-…}` where its meaning depends on what is around it.
    QuoteInExpansion,
    /// `~name`, `~+`, `~-`
    NamedHome,
    /// `IFS=…`
    FieldSeparator,
    /// A built-in command of bash that is missing.
    Builtin(&'static str),
}

impl Construct {
    /// The construct's name, as a noun with its spelling.
    pub fn name(self) -> String {
        let name = match self {
            Self::Pipe => "a pipe (|)",
            Self::Redirection => "this redirection",
            Self::HereDocument => "a here-document (<<)",
            Self::HereString => "a here-string (<<<)",
            Self::ProcessSubstitution => "process substitution (<( ) or >( ))",
            Self::CommandSubstitution => "command substitution ($( ) or backquotes)",
            Self::Arithmetic => "arithmetic ($(( )) or (( )))",
            Self::Background => "a command in the background (&)",
            Self::Loop => "a loop",
            Self::Condition => "if or case",
            Self::Function => "a function",
            Self::Coprocess => "a coprocess",
            Self::Time => "the word time",
            Self::DoubleBracket => "a test in double brackets ([[ ]])",
            Self::Array => "an array",
            Self::Glob => "a file name pattern (*, ? or [ ])",
            Self::BraceExpansion => "brace expansion ({a,b} or {1..3})",
            Self::AnsiQuote => "quoting with $' '",
            Self::LocaleQuote => "quoting with $\" \"",
            Self::SpecialParameter => "this special parameter",
            Self::ComputedVariable => "a variable that bash works out itself",
            Self::ParameterOperation => "this operation on a variable",
            Self::QuoteInExpansion => "a quote or backslash inside ${ }",
            Self::NamedHome => "the home directory of somebody else (~name)",
            Self::FieldSeparator => "setting IFS",
            Self::Builtin(name) => return format!("bash's built-in command \"{name}\""),
        };
        name.to_owned()
    }

    /// What to do instead: one sentence.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Pipe => "let one program do both steps, or run them with && and a file between",
            Self::Redirection => {
                "understood are >/dev/null, 2>/dev/null, 2>&1, >&2 and </dev/null; \
                 let the program open other files itself"
            }
            Self::HereDocument | Self::HereString => {
                "put the text into a file of the app, or pass it as an argument"
            }
            Self::ProcessSubstitution => "write to a file first, and give the program its name",
            Self::CommandSubstitution => {
                "set a config var, or let the program work the value out itself"
            }
            Self::Arithmetic => "set a config var with the result, or compute it in the program",
            Self::Background => "give the second program a process type of its own in the Procfile",
            Self::Loop | Self::Condition | Self::Function => {
                "use && and ||, or move this into a script of the app's language"
            }
            Self::Coprocess => "give the program a process type of its own in the Procfile",
            Self::Time => "leave the word out; the logs have the times",
            Self::DoubleBracket => "use single brackets: [ \"$A\" = b ]",
            Self::Array => "use one variable for each value",
            Self::Glob => "put it in quotes if it is meant as it stands, or name the files",
            Self::BraceExpansion => "write the words out, or put them in quotes",
            Self::AnsiQuote | Self::LocaleQuote => "use plain quotes",
            Self::SpecialParameter => "understood are $NAME, ${NAME} and $?",
            Self::ComputedVariable => "let the program ask for it itself",
            Self::ParameterOperation => {
                "understood are ${A}, ${A:-x}, ${A:=x}, ${A:+x} and ${A:?x}, also without the colon"
            }
            Self::QuoteInExpansion => {
                "leave the quotes out, or put the whole of it in double quotes: \"${A:-x y}\""
            }
            Self::NamedHome => "write the path out, or use ~ for the app's own home directory",
            Self::FieldSeparator => "put variables in double quotes: they are not split then",
            Self::Builtin("logout") => "use exit",
            Self::Builtin("source" | ".") => "set the variables as config vars",
            Self::Builtin("set") => "join commands that may fail with &&",
            Self::Builtin(_) => "run a program of the app instead",
        }
    }
}
