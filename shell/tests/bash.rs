//! Compares what a line does here with what the machine's bash does with it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dyno_shell::{
    Entry, ExitStatus, FileError, FileKind, Host, Input, Line, Output, Program, RunError, Session,
    run,
};
use futures::executor::block_on;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Programs of the machine that both sides may run. The rest must be built in, on this side.
const PROGRAMS: &[&str] = &["printf", "printenv", "expr", "dirname"];
/// Programs that bash may run besides, which stand-ins are compared with.
const COMPARED: &[&str] = &[
    "[", "bash", "cat", "echo", "env", "false", "ls", "pwd", "sh", "test", "true",
];

/// A host that runs programs of the machine, in its file system.
#[derive(Default)]
struct Machine {
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Host for Machine {
    async fn run(&mut self, program: Program) -> Result<ExitStatus, RunError> {
        let name = &program.words[0];
        if name.contains('/') {
            return Err(
                match fs::metadata(Path::new(&program.directory).join(name)) {
                    Err(_) => RunError::NotFound,
                    Ok(known) if known.is_dir() => RunError::IsDirectory,
                    Ok(_) => RunError::NotExecutable,
                },
            );
        }
        // An empty PATH finds nothing in bash either, as the machine's are not in the working directory.
        let reachable = program
            .environment
            .iter()
            .any(|(name, value)| name == "PATH" && value.ends_with("/programs"));
        if !reachable || !PROGRAMS.contains(&name.as_str()) {
            return Err(RunError::NotFound);
        }
        let result = Command::new(format!("/usr/bin/{name}"))
            .arg0(name)
            .args(&program.words[1..])
            .env_clear()
            .envs(program.environment.iter().cloned())
            .current_dir(&program.directory)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        assert!(matches!(
            program.streams.input,
            Input::Standard | Input::Empty
        ));
        if program.streams.output != Output::Null {
            self.write(program.streams.output, &result.stdout).await;
        }
        if program.streams.errors != Output::Null {
            self.write(program.streams.errors, &result.stderr).await;
        }
        Ok(ExitStatus(
            u8::try_from(result.status.code().expect("no signal")).expect("a status is a byte"),
        ))
    }

    async fn write(&mut self, output: Output, bytes: &[u8]) {
        match output {
            Output::Standard => self.output.extend_from_slice(bytes),
            Output::Errors => self.errors.extend_from_slice(bytes),
            Output::Null => unreachable!("nothing is written nowhere"),
        }
    }

    async fn kind(&mut self, path: &str) -> Option<FileKind> {
        let known = fs::metadata(path).ok()?;
        Some(if known.is_dir() {
            FileKind::Directory
        } else {
            FileKind::File
        })
    }

    async fn list(&mut self, path: &str, entries_max: usize) -> Result<Vec<Entry>, FileError> {
        let entries = fs::read_dir(path).map_err(|error| file_error(&error))?;
        Ok(entries
            .take(entries_max)
            .map(|entry| {
                let entry = entry.expect("a readable directory");
                Entry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    kind: FileKind::File,
                    bytes: entry.metadata().expect("a readable file").len(),
                }
            })
            .collect())
    }

    async fn copy(&mut self, path: &str, output: Output) -> Result<(), FileError> {
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| file_error(&error))?;
        if output != Output::Null {
            self.write(output, &bytes).await;
        }
        Ok(())
    }
}

fn file_error(error: &std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::NotFound => FileError::NotFound,
        std::io::ErrorKind::IsADirectory => FileError::IsDirectory,
        std::io::ErrorKind::NotADirectory => FileError::NotDirectory,
        _ => FileError::Other(error.to_string()),
    }
}

/// What a line did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    output: String,
    errors: String,
    status: u8,
}

fn environment(home: &Path) -> Vec<(String, String)> {
    let path = home.with_file_name("programs");
    [
        ("PATH", path.to_str().expect("UTF-8")),
        ("HOME", home.to_str().expect("UTF-8")),
        ("PORT", "5000"),
        ("SPACED", "  a  b c "),
        ("EMPTY", ""),
        ("LC_ALL", "C.UTF-8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn here(line: &Line, home: &Path) -> Outcome {
    let mut host = Machine::default();
    let mut session = Session::new(environment(home), home.to_str().expect("UTF-8"));
    let status = block_on(run(line, &mut session, &mut host));
    Outcome {
        output: String::from_utf8_lossy(&host.output).into_owned(),
        errors: String::from_utf8_lossy(&host.errors).into_owned(),
        status: status.0,
    }
}

fn bash(line: &str, home: &Path) -> Outcome {
    let result = Command::new("/usr/bin/bash")
        .arg0("bash")
        .args(["-c", line])
        .env_clear()
        .envs(environment(home))
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .expect("bash is installed");
    Outcome {
        output: without_line_number(&result.stdout),
        errors: without_line_number(&result.stderr),
        status: u8::try_from(result.status.code().expect("no signal")).expect("a status is a byte"),
    }
}

/// `bash: line 1: x` is `bash: x` here, as it is at a prompt.
fn without_line_number(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    (1..10).fold(text, |text, number| {
        text.replace(&format!("bash: line {number}: "), "bash: ")
    })
}

/// A home directory with a few files, and beside it one with the programs.
struct Place {
    home: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let programs = scratch.path().join("programs");
        let home = scratch.path().join("home");
        fs::create_dir_all(home.join("bin/deep")).expect("a directory");
        fs::write(home.join("notes"), "one\ntwo\n").expect("a file");
        fs::create_dir(&programs).expect("a directory");
        for name in PROGRAMS.iter().chain(COMPARED) {
            symlink(format!("/usr/bin/{name}"), programs.join(name)).expect("a link");
        }
        Self {
            home,
            _scratch: scratch,
        }
    }

    fn path(&self) -> &Path {
        &self.home
    }
}

/// Lines that do the same as in bash: output, errors and status.
const LINES: &[&str] = &[
    // Quoting.
    r#"echo a  'b  c' "d  e" f\ \ g"#,
    r#"echo "a\"b\\c\$d\`e\f" 'g\h' \i\\"#,
    r#"echo "it's" 'say "x"' a'b'"c"d"#,
    "echo a\\\nb 'c\\\nd' \"e\\\nf\"",
    "echo \"two\nlines\" 'and\nmore'",
    r#"printf '[%s]' "" '' a"" ''"" "$EMPTY""#,
    "echo a#b #c 'd'",
    "A\\\n=1; ec\\\nho $\\\nA \"$\\\nA\" $A$\\\n{A\\\n:\\\n-b\\\nc}; \\\n echo b \\\n c\\\n; { echo d; \\\n}",
    "# nothing but a comment, isn't it",
    "echo a # it's\necho b",
    "echo é \"ü\" '→'$PORT",
    // Variables.
    "echo $PORT ${PORT} x$PORT.y \"$PORT\" '$PORT' \\$PORT $ \"$\" a$",
    "printf '[%s]' $SPACED \"$SPACED\" x$SPACED'y' $SPACED$SPACED",
    "printf '[%s]' $EMPTY \"$EMPTY\" $NONE a$NONE \"\"$EMPTY",
    "echo ${PORT:-1} ${NONE:-2} ${EMPTY:-3} ${EMPTY-4} ${NONE-5} ${NONE:-} ${NONE-}.",
    "echo ${PORT:+1} ${NONE:+2} ${EMPTY:+3} ${EMPTY+4} ${NONE+5}.",
    "echo ${NONE:=6} $NONE; echo ${EMPTY=7}. ${EMPTY:=8} $EMPTY",
    "printf '[%s]' ${NONE:-a  b} \"${NONE:-a  b}\" ${NONE:-\"a  b\" c} ${NONE:-$SPACED} x${NONE:- y }z",
    "printf '[%s]' ${NONE:-${NADA:-\"q  r\"}} \"${NONE:-${NADA:-q  r}}\" ${NONE:-\"\"} ${NONE:-}",
    "printf '[%s]' ${NONE:=a  b} \"$NONE\"",
    "echo ${NONE:-~} ${NONE:-~/x} \"${NONE:-~}\" ${NONE:-a~}",
    "echo ${NONE:-a;b|c&d<e>f(g)h#i} \"${NONE:-a;b}\"",
    "echo ${NONE:?}; echo no",
    "echo ${NONE?}; echo no",
    "echo ${EMPTY?} ${EMPTY:?is empty}; echo no",
    "true && { echo ${NONE:?gone}; }; echo no",
    "( echo ${NONE:?gone} ); echo $?",
    "false; echo $? ${?} \"$?\"; echo $?",
    "A=$?; false; A=$? B=$?; echo $A $B $?",
    // Assignments.
    "A=1; echo $A; A=2 B=$A; echo $A $B; A=; echo \"[$A]\"",
    "A=1 B=$A printenv A B",
    "A=1 printenv A; echo \"[$A]\"; printenv A; echo $?",
    "A=1; printenv A; export A; printenv A; A=2; printenv A",
    "PORT=1; printenv PORT; PORT=2 printenv PORT; printenv PORT",
    "A=a; A+=b; A+=; echo $A; PORT+=1 printenv PORT",
    "A=$SPACED; echo \"$A\"; A=$SPACED$SPACED printenv A",
    "A=~ B=~/x:~:~/y:a~ C='~' D=x:~; echo $A $B $C $D",
    "A=* B=[a] C={a,b} D=a?; echo \"$A $B $C $D\"",
    "$EMPTY A=1; echo $? $A",
    "A=1 $EMPTY; echo $A",
    "A=1 true $A; echo \"[$A]\"",
    "1A=x; echo $?; A-B=x; echo $?",
    "A=1 cd bin; pwd; echo \"[$A]\"",
    "HOME=/ cd; pwd; HOME=/ ; cd; pwd; echo ~",
    // export and unset.
    "export A=1 B='2 3' C=$SPACED; printenv A B C",
    "export A; printenv A; echo $?; A=5; printenv A; export A=6 A; printenv A",
    "export A=~/x B=a:~; printenv A B",
    "E=export; $E A=$SPACED; printenv A",
    "export 1a=x A=1; echo $? $A; export A-B; echo $?",
    "export A=a; export A+=b; printenv A",
    "unset PORT; echo \"[$PORT]\"; unset NONE; echo $?; unset -v HOME; printenv HOME; echo $?",
    "unset A PORT SPACED EMPTY HOME LC_ALL PATH OLDPWD SHLVL; A='q\"\\$`'; unset PWD; export A N; export",
    // Lists.
    "true && echo a || echo b; false && echo c || echo d; false || false || echo $?",
    "false || true && echo a; true || false && echo b; true || echo c && echo d",
    "echo a; echo b;echo c\necho d\n\n echo e ;",
    "true &&\necho a ||\n\n echo b",
    "! true; echo $?; ! false; echo $?; ! ! false; echo $?; ! true && echo a || echo b",
    "! exit 3; echo no",
    "!; echo $?",
    // Groups.
    "{ echo a; A=1; cd bin; }; echo $A; pwd",
    "(echo a; A=1; cd bin; pwd); echo \"[$A]\"; pwd",
    "(exit 3); echo $?; { exit 4; }; echo no",
    "( ( (false) || { (echo a); } ) && ! (false) ) ; echo $?",
    "{ true; } && (false) || { echo a\n}",
    "false; ( exit ); echo $?; (echo a) ; { echo b;}",
    "(exec printf x; echo no); echo y",
    "echo {} {a} a{b a}b { } '{a,b}' \\{a,b} {a,b\\}",
    // Redirections.
    "echo a >/dev/null; echo b >> /dev/null; echo c 1>/dev/null; echo d 2>/dev/null; echo $?",
    "expr a + b 2>/dev/null; echo $?; expr a + b 2>&1; expr a + b >/dev/null",
    "echo a >&2; echo b 1>&2; echo c >&2 2>&1; echo d 2>&1 >&2",
    "expr a + b >/dev/null 2>&1; expr a + b 2>&1 >/dev/null; expr a + b &>/dev/null; echo a >& /dev/null; echo b &>>/dev/null",
    "{ echo a; echo b >&2; } >/dev/null; (echo c; echo d >&2) 2>&1; { nope; } 2>/dev/null; echo $?",
    ">/dev/null; echo $?; >/dev/null echo a; echo b </dev/null; A=1 >/dev/null; echo $A; echo >|/dev/null",
    "cd nope 2>/dev/null; exit 2>/dev/null",
    // Programs that are not there.
    "nope; echo $?; nope a b; ./nope; echo $?; bin/nope; ./bin; echo $?; ./notes; echo $?; ''; echo $?",
    "nope || echo a; nope && echo b; $EMPTY; echo $?",
    "PATH=/none; printenv PORT; echo $?",
    // exec.
    "exec printf '%s\\n' a; echo no",
    "exec; echo a; exec nope; echo no",
    "exec cd; echo no",
    "A=1 exec printenv A",
    "exec ./nope",
    // exit.
    "exit",
    "false; exit",
    "exit 7; echo no",
    "exit 256",
    "exit -1",
    "exit abc; echo no",
    "exit 1 2; echo no",
    "false || exit 5",
    // cd and pwd.
    "cd bin; pwd; echo $PWD $OLDPWD; cd deep; pwd; cd ..; pwd; cd -; cd -; cd; pwd; cd /; pwd",
    "cd nope; echo $?; cd notes; echo $?; cd a b; echo $?; cd ''; echo $?; cd ./bin/../bin//deep/.; pwd",
    "cd ~/bin; pwd; printenv PWD OLDPWD; cd -- ..; pwd; unset OLDPWD; cd -; unset HOME; cd; pwd -P; pwd x",
    // echo.
    "echo; echo -n a; echo -n; echo -e 'a\\tb\\n'; echo -E 'a\\tb'; echo -ne 'a\\x41\\0101\\101\\u00e9\\c'; echo no",
    "echo -x; echo -; echo -- a; echo a -n; echo -nE a -e; echo -eE 'a\\tb' -n; echo -e '\\' '\\q' '\\x' '\\0' '\\u' '\\e[0m'",
    "echo -e '\\x4142 \\01011 \\0777 \\u41 \\U0001F600 \\a\\b\\f\\v\\r'",
    // true, false and :.
    "true a b; echo $?; : ${NONE:=x}; echo $? $NONE; false a; echo $?",
    // test.
    "test; echo $?; test a; echo $?; test ''; echo $?; [ ]; echo $?; [ a ; echo $?; [ a = a ]; echo $?; [ a == b ]; echo $?; [ a != b ]; echo $?",
    "[ -n '' ]; echo $?; [ -z '' ]; echo $?; [ -n ]; echo $?; [ ! a ]; echo $?; [ ! ]; echo $?; [ ! -n a ]; echo $?; [ ! a = b ]; echo $?; [ -n = -n ]; echo $?",
    "[ 1 -eq 1 ]; echo $?; [ 1 -lt 2 ]; echo $?; [ ' 3 ' -ge 4 ]; echo $?; [ -1 -le +1 ]; echo $?; [ 1 -ne 1 ]; echo $?; [ 2 -gt 1 ]; echo $?",
    "[ 1 -eq x ]; echo $?; [ '' -eq 1 ]; echo $?; [ a b c ]; echo $?; [ -q a ]; echo $?; [ '(' a ')' ]; echo $?",
    "[ -e notes ] && [ -f notes ] && [ ! -d notes ]; echo $?; [ -d bin ] && [ -e bin ] && [ ! -f bin ]; echo $?; [ -e none ]; echo $?; [ -f '' ]; echo $?",
    "[ \"$PORT\" = 5000 ] && echo yes || echo no",
    // env.
    "env -i A=1 B='2 3'; env A=1 printenv A; env -u PORT printenv PORT; echo $?; env -i; echo $?",
    "env nope; echo $?; env A=1 nope; env ./notes; echo $?; env -i cd; echo $?; env -- A=1 printenv A",
    // ls and cat.
    "ls; ls bin; ls -a bin/deep; ls -1 .; ls notes; ls nope; echo $?; ls bin notes",
    "cat notes; cat notes notes; cat none; echo $?; cat bin; echo $?; cat notes none 2>/dev/null; echo $?",
    // Shells in the line.
    "bash -c 'echo $PORT; exit 3'; echo $?; A=1; bash -c 'echo \"[$A]\"; B=1'; echo $B; sh -c 'cd bin; pwd'; pwd",
    "bash -c 'exec printf x; echo no'; bash -c 'nope' 2>/dev/null; echo $?; A=1 sh -c 'bash -c \"printenv A\"'",
    // Tilde.
    "echo ~ ~/x a~ '~' \"~\" \\~ ~\"/x\" A=~ a:~ A=b:~/c ~$PORT",
];

#[test]
fn every_line_does_what_it_does_in_bash() {
    let home = Place::new();
    let mut differences = Vec::new();
    for text in LINES {
        let line = match Line::parse(text) {
            Ok(line) => line,
            Err(error) => {
                differences.push(format!("{text}\n  {error:?}"));
                continue;
            }
        };
        let (here, bash) = (here(&line, home.path()), bash(text, home.path()));
        if here != bash {
            differences.push(format!("{text}\n  here {here:?}\n  bash {bash:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What lines are put together from. Nothing here can do harm to the machine when bash runs it.
const PARTS: &[&str] = &[
    "echo ",
    "echo ",
    "echo ",
    "a",
    "b",
    " ",
    " ",
    " ",
    "\"",
    "\"",
    "'",
    "\\",
    "$A",
    "$B",
    "${A}",
    "${A:-",
    "${C-",
    "${C:=",
    "${A:+",
    "}",
    "}",
    "{ ",
    " }",
    "; ",
    ";",
    " && ",
    " || ",
    "! ",
    "(",
    ")",
    "#",
    "=",
    "A=",
    "B=b ",
    "export ",
    "~",
    ":",
    "/",
    "\n",
    "$?",
    "true",
    "false",
    " >/dev/null ",
    " 2>&1",
    " >&2",
    "exit ",
    "3",
    "printf '[%s]\\n' ",
    "-n ",
    "unset A",
    "cd bin",
    "pwd",
    "env ",
    "if ",
    "for ",
    "é",
    "\t",
    ",",
    "[ ",
    " ]",
    "-",
    "1",
];

/// As many as a few seconds allow.
const LINES_BY_CHANCE: usize = 1000;

/// Lines by chance: those that are understood must do what they do in bash.
#[test]
fn lines_made_by_chance_do_what_they_do_in_bash() {
    let home = Place::new();
    let mut random = StdRng::seed_from_u64(77);
    let mut compared = 0;
    let mut differences = Vec::new();
    while compared < LINES_BY_CHANCE {
        let count = random.random_range(1..14);
        let text: String = (0..count)
            .map(|_| PARTS[random.random_range(0..PARTS.len())])
            .collect();
        let text = format!("A='x  y' B=; {text}");
        let Ok(line) = Line::parse(&text) else {
            continue;
        };
        compared += 1;
        let (mut here, mut bash) = (here(&line, home.path()), bash(&text, home.path()));
        for outcome in [&mut here, &mut bash] {
            // What only bash's own process has in its environment; and the order of variables, which differs.
            for text in [&mut outcome.output, &mut outcome.errors] {
                let mut lines: Vec<_> = text
                    .split('\n')
                    .filter(|line| !line.starts_with("_=") && !line.starts_with("SHLVL="))
                    .filter(|line| {
                        !line.starts_with("declare -x SHLVL")
                            && !line.starts_with("declare -x OLDPWD")
                    })
                    .collect();
                if lines.len() > 5 {
                    lines.sort_unstable();
                }
                *text = lines.join("\n");
            }
        }
        // Wrong options are told in other words, and bash shows what it cannot print in quotes of its own.
        let told_otherwise = ["on a dyno", "missing `]'"]
            .iter()
            .any(|words| here.errors.contains(words))
            || ["$'", "use -[v]S"]
                .iter()
                .any(|words| bash.errors.contains(words));
        if here != bash && !told_otherwise {
            differences.push(format!("{text:?}\n  here {here:?}\n  bash {bash:?}"));
        }
    }
    let count = differences.len();
    assert!(
        differences.is_empty(),
        "{count}:\n{}",
        differences.join("\n")
    );
}
