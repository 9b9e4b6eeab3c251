//! Lines and prompts over a host that is a script: what it is asked, what it is told, and what stays.

use std::future::{Future, pending};
use std::task::{Context, Poll, Waker};

use dyno_shell::limits::{
    DIRECTORY_ENTRIES_MAX, EXPANSION_BYTES_MAX, HISTORY_LINES_MAX, LINE_BYTES_MAX, SHELLS_MAX,
    VARIABLES_BYTES_MAX,
};
use dyno_shell::{
    Entry, ExitStatus, FileError, FileKind, Host, Line, Output, Program, RunError, Session, Style,
    Terminal, prompt, run,
};
use futures::executor::block_on;

/// Has the programs `ok`, `fail` (3), `show` (prints its arguments) and `hang`; one file and one directory.
#[derive(Default)]
struct Script {
    input: Vec<Vec<u8>>,
    chunks: Vec<String>,
    ran: Vec<Program>,
    listed: usize,
}

impl Script {
    fn typed(input: &[u8]) -> Self {
        Self {
            // Byte by byte, as from fingers.
            input: input.iter().rev().map(|byte| vec![*byte]).collect(),
            ..Self::default()
        }
    }

    fn output(&self) -> String {
        self.chunks.concat()
    }
}

impl Host for Script {
    async fn run(&mut self, program: Program) -> Result<ExitStatus, RunError> {
        let words = program.words.clone();
        self.ran.push(program);
        match words[0].as_str() {
            "ok" => Ok(ExitStatus::SUCCESS),
            "fail" => Ok(ExitStatus(3)),
            "show" => {
                let line = words[1..].join("|") + "\n";
                self.write(Output::Standard, line.as_bytes()).await;
                Ok(ExitStatus::SUCCESS)
            }
            "hang" => pending().await,
            "interrupted" => Ok(ExitStatus::from_signal(2)),
            "broken" => Err(RunError::Failed("out of memory".to_owned())),
            _ => Err(RunError::NotFound),
        }
    }

    async fn write(&mut self, _: Output, bytes: &[u8]) {
        self.chunks
            .push(String::from_utf8_lossy(bytes).into_owned());
    }

    async fn kind(&mut self, path: &str) -> Option<FileKind> {
        (path == "/app/bin").then_some(FileKind::Directory)
    }

    async fn list(&mut self, _: &str, entries_max: usize) -> Result<Vec<Entry>, FileError> {
        assert_eq!(entries_max, DIRECTORY_ENTRIES_MAX);
        let entry = |index| Entry {
            name: format!("file{index:05}"),
            kind: FileKind::File,
            bytes: 7,
        };
        Ok((0..self.listed).map(entry).collect())
    }

    async fn copy(&mut self, _: &str, _: Output) -> Result<(), FileError> {
        Err(FileError::NotFound)
    }
}

impl Terminal for Script {
    async fn read(&mut self) -> Option<Vec<u8>> {
        self.input.pop()
    }
}

fn session() -> Session {
    Session::new([("HOME", "/app"), ("TERM", "xterm")], "/app")
}

fn ran(line: &str) -> (Script, Session, ExitStatus) {
    let (mut script, mut session) = (Script::default(), session());
    let line = Line::parse(line).expect(line);
    let status = block_on(run(&line, &mut session, &mut script));
    (script, session, status)
}

fn typed(input: &[u8]) -> (String, ExitStatus) {
    let (mut script, mut session) = (Script::typed(input), session());
    let status = block_on(prompt(&mut session, &mut script, Style::Terminal));
    (script.output(), status)
}

#[test]
fn a_program_is_given_words_environment_directory_and_streams() {
    let (script, _, _) =
        ran("cd bin; B=1; export C=2; A='x y' show a \"b c\" $B 2>/dev/null </dev/null");
    let program = &script.ran[0];
    assert_eq!(program.words, ["show", "a", "b c", "1"]);
    assert_eq!(program.directory, "/app/bin");
    let names: Vec<_> = program
        .environment
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["A", "C", "HOME", "OLDPWD", "PWD", "TERM"]);
    assert_eq!(program.streams.errors, Output::Null);
    assert_eq!(program.streams.input, dyno_shell::Input::Empty);
}

#[test]
fn the_exit_code_arrives_in_one_chunk_however_the_line_ends() {
    for (line, status) in [
        ("fail", 3),
        ("ok", 0),
        ("ok; exit 4", 4),
        ("exec fail", 3),
        ("nope", 127),
        ("interrupted", 130),
        ("broken", 126),
        ("echo ${NONE:?}", 127),
        ("", 0),
    ] {
        let sent = format!("{line} ; echo \"\u{ffff} heroku-command-exit-status: $?\"");
        let (script, session, given) = ran(&sent);
        assert_eq!((given.0, session.status().0), (status, status), "{line}");
        let mark = format!("\n\u{ffff} heroku-command-exit-status: {status}\n");
        assert_eq!(script.chunks.last(), Some(&mark), "{line}");
    }
}

#[test]
fn a_dropped_line_leaves_a_session_that_can_be_used_on() {
    let (mut script, mut session) = (Script::default(), session());
    let line = Line::parse("A=1; fail; (B=2; A=3 hang); C=4").unwrap();
    {
        let mut running = Box::pin(run(&line, &mut session, &mut script));
        let polled = running
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending);
    }
    assert_eq!(script.ran.last().unwrap().words, ["hang"]);
    assert_eq!(
        (session.get("A"), session.get("B"), session.get("C")),
        (Some("1"), None, None)
    );
    assert_eq!(session.status(), ExitStatus(3));
    let next = Line::parse("show $A $?").unwrap();
    block_on(run(&next, &mut session, &mut script));
    assert_eq!(script.output(), "1|3\n");
}

#[test]
fn a_run_can_be_sent_to_another_thread() {
    fn is_send<T: Send>(_: T) {}
    let (mut script, mut session) = (Script::default(), session());
    is_send(run(&Line::parse("ok").unwrap(), &mut session, &mut script));
    is_send(prompt(&mut session, &mut script, Style::Plain));
}

#[test]
fn values_and_words_have_a_longest_length() {
    // Twelve doublings of a thousand bytes are too many.
    let doubling = "A=$A$A; ".repeat(10);
    let kibibyte = "x".repeat(1024);
    let (script, session, status) = ran(&format!("A={kibibyte}; {doubling} echo fits"));
    assert_eq!(
        (script.output().as_str(), status),
        ("fits\n", ExitStatus::SUCCESS)
    );
    assert_eq!(session.get("A").map(str::len), Some(EXPANSION_BYTES_MAX));

    let (script, _, status) = ran(&format!("A={kibibyte}; {doubling} A=$A$A; echo no"));
    assert_eq!(status, ExitStatus::FAILURE);
    assert_eq!(
        script.output(),
        "bash: the words of the command are longer than 1048576 bytes\n"
    );
    let (script, _, status) = ran(&format!("A={kibibyte}; {doubling} A+=y; echo no"));
    assert_eq!(status, ExitStatus::FAILURE);
    assert!(
        script
            .output()
            .starts_with("bash: A: the value does not fit"),
        "{}",
        script.output()
    );
    let (script, _, status) = ran(&format!(
        "A={kibibyte}; {doubling} show \"${{A}}\"y; echo no"
    ));
    assert_eq!((status, script.ran.len()), (ExitStatus::FAILURE, 0));
}

#[test]
fn the_variables_of_a_session_have_a_bound() {
    let mut session = Session::new([("A", "x".repeat(EXPANSION_BYTES_MAX))], "/app");
    session
        .set(
            "B",
            "y".repeat(VARIABLES_BYTES_MAX - EXPANSION_BYTES_MAX - 1024),
        )
        .unwrap();
    assert!(session.set("C", "z".repeat(1024)).is_err());
    assert!(session.set("C", "z".repeat(512)).is_ok());
    session.unset("B");
    assert!(session.set("C", "z".repeat(1024)).is_ok());
    assert!(
        session
            .set("A", "z".repeat(EXPANSION_BYTES_MAX + 1))
            .is_err()
    );
}

#[test]
fn shells_go_so_deep() {
    let (mut script, mut session) = (Script::default(), session());
    session.set("L", "bash -c \"$L\"").unwrap();
    session.export("L");
    let status = block_on(run(
        &Line::parse("bash -c \"$L\"").unwrap(),
        &mut session,
        &mut script,
    ));
    assert_eq!(status, ExitStatus::FAILURE);
    assert_eq!(
        script.output(),
        format!("bash: more than {SHELLS_MAX} shells in each other\n")
    );
}

#[test]
fn a_long_directory_is_cut_with_a_word() {
    let mut script = Script {
        listed: DIRECTORY_ENTRIES_MAX,
        ..Script::default()
    };
    block_on(run(
        &Line::parse("ls").unwrap(),
        &mut session(),
        &mut script,
    ));
    assert!(
        script
            .output()
            .ends_with("ls: .: only 10000 entries are shown\n")
    );
    script = Script {
        listed: DIRECTORY_ENTRIES_MAX - 1,
        ..Script::default()
    };
    block_on(run(
        &Line::parse("ls -l").unwrap(),
        &mut session(),
        &mut script,
    ));
    assert!(script.output().ends_with("-            7 file09998\n"));
}

#[test]
fn a_prompt_runs_lines_in_one_session() {
    let (output, status) = typed(b"A=1\rcd bin\rshow $A\rfail\rexit\r");
    assert_eq!(
        output,
        "~ $ A=1\n~ $ cd bin\n~/bin $ show $A\n1\n~/bin $ fail\n~/bin $ exit\n"
    );
    assert_eq!(status, ExitStatus(3));
}

#[test]
fn a_prompt_ends_with_the_input_or_its_end_key() {
    assert_eq!(
        typed(b"fail\r\x04ok\r"),
        ("~ $ fail\n~ $ exit\n".to_owned(), ExitStatus(3))
    );
    assert_eq!(
        typed(b"fail\r\n"),
        ("~ $ fail\n~ $ exit\n".to_owned(), ExitStatus(3))
    );
}

#[test]
fn an_error_does_not_end_a_prompt() {
    let (output, status) = typed(b"show ${NONE:?}\rexec nope\ra | b\rshow $?\r");
    assert!(
        output.contains("bash: NONE: parameter null or not set\n~ $ "),
        "{output}"
    );
    assert!(
        output.contains("bash: exec: nope: not found\n~ $ "),
        "{output}"
    );
    assert!(
        output.contains("bash: a pipe (|) at column 3 is not understood"),
        "{output}"
    );
    assert!(output.contains("2\n~ $ exit\n"), "{output}");
    assert_eq!(status, ExitStatus::SUCCESS);
}

#[test]
fn a_line_that_is_not_complete_is_asked_for_more() {
    let (output, _) = typed(b"show 'a\rb' &&\rok\r");
    assert_eq!(output, "~ $ show 'a\n> b' &&\n> ok\na\nb\n~ $ exit\n");
    // ^C gives it up.
    let (output, _) = typed(b"show 'a\rb\x03show $?\r");
    assert_eq!(output, "~ $ show 'a\n> b^C\n~ $ show $?\n130\n~ $ exit\n");
    let (output, status) = typed(b"show 'a\r");
    assert!(output.contains("is not closed"), "{output}");
    assert_eq!(status, ExitStatus::SYNTAX);
}

/// What the line is in the end, by what `show` is given.
fn edited(keys: &[u8]) -> String {
    let (mut script, mut session) = (Script::typed(keys), session());
    script.input.insert(0, b"\r".to_vec());
    block_on(prompt(&mut session, &mut script, Style::Terminal));
    let program = script.ran.pop().expect("a program ran");
    program.words[1..].join(" ")
}

#[test]
fn a_line_can_be_edited() {
    for (keys, line) in [
        (&b"show abc\x7f\x08d"[..], "ad"),
        (b"show ac\x1b[Db", "abc"),
        (b"show ac\x1bODb\x1b[Cd", "abcd"),
        (b"how a\x01s", "a"),
        (b"how a\x1b[Hs\x1b[Fb", "ab"),
        (b"how a\x1b[1~s\x05b\x1b[4~c", "abc"),
        (b"nonsense\x15show a", "a"),
        (b"show a bcd  \x17e", "a e"),
        (b"show abc\x02\x02\x0bd", "ad"),
        (b"show abc\x02\x02\x04d", "adc"),
        (b"show abc\x1b[D\x1b[D\x1b[3~d", "adc"),
        (b"show \xc3\xa9\xe2\x86\x92\x7fx", "éx"),
        (b"show \xffa", "\u{fffd}a"),
        (b"show a\tb\x1b[15~\x1bb\x00", "ab"),
        (b"show \x1b[9999999999999999999999a", "99999999a"),
        (b"show a\x0cb", "ab"),
    ] {
        assert_eq!(edited(keys), line, "{:?}", String::from_utf8_lossy(keys));
    }
}

#[test]
fn the_history_is_walked_with_arrows() {
    for (keys, line) in [
        (&b"show a\rshow b\r\x1b[A"[..], "b"),
        (b"show a\rshow b\r\x1b[A\x1b[A\x1b[A", "a"),
        (b"show a\rshow b\r\x1b[A\x1b[A\x1b[Bc", "bc"),
        (b"show a\rshow b\x1b[A\x1b[B", "b"),
        (b"show a\r\x10b", "ab"),
        (b"show a\rshow b\rshow b\r\x1b[A\x1b[A", "a"),
        (b"show a\r  \r\x1b[A", "a"),
    ] {
        assert_eq!(edited(keys), line, "{:?}", String::from_utf8_lossy(keys));
    }
}

#[test]
fn the_history_forgets_the_oldest() {
    let mut keys = b"show first\r".to_vec();
    for index in 0..HISTORY_LINES_MAX - 1 {
        keys.extend_from_slice(format!("show {index}\r").as_bytes());
    }
    let mut all = keys.clone();
    all.extend_from_slice(&b"\x1b[A".repeat(HISTORY_LINES_MAX + 5));
    assert_eq!(edited(&all), "first");
    keys.extend_from_slice(b"show last\r");
    keys.extend_from_slice(&b"\x1b[A".repeat(HISTORY_LINES_MAX + 5));
    assert_eq!(edited(&keys), "0");
}

#[test]
fn a_typed_line_has_a_longest_length() {
    let mut keys = b"show ".to_vec();
    keys.resize(LINE_BYTES_MAX, b'a');
    assert_eq!(edited(&keys).len(), LINE_BYTES_MAX - 5);
    keys.push(b'b');
    assert!(edited(&keys).ends_with('a'));
    let (output, _) = typed(&keys);
    assert!(output.ends_with("a\u{7}exit\n"), "the bell rings");
}

#[test]
fn without_a_terminal_there_is_neither_prompt_nor_echo() {
    for (input, output) in [
        (&b"show a\nshow b\n\x04ignored\n"[..], "a\nb\n"),
        (b"show a\nshow b\x04", "a\nb\n"),
        (b"show a\r\nshow 'b\nc'\n", "a\nb\nc\n"),
        (b"show \xc3\xa9\nexit\nshow b\n", "é\n"),
    ] {
        let mut script = Script {
            input: vec![input.to_vec()],
            ..Script::default()
        };
        block_on(prompt(&mut session(), &mut script, Style::Plain));
        assert_eq!(script.output(), output);
    }
    let mut script = Script {
        input: vec![b"a".repeat(3 * LINE_BYTES_MAX), b"\nshow b\n".to_vec()],
        ..Script::default()
    };
    script.input.reverse();
    block_on(prompt(&mut session(), &mut script, Style::Plain));
    assert!(
        script.output().contains("at most 16384 are understood"),
        "{}",
        script.output()
    );
    assert!(script.output().ends_with("b\n"));
}

#[test]
fn keys_by_chance_do_no_harm() {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = StdRng::seed_from_u64(9);
    for _ in 0..200 {
        let keys: Vec<u8> = (0..400)
            .map(|_| match random.random_range(0..4) {
                0 => random.random_range(0..=255),
                1 => b"\x1b[ABCDH~\r\x7f\x04\x15"[random.random_range(0..12)],
                _ => random.random_range(0x20..0x7f),
            })
            .collect();
        typed(&keys);
        let mut script = Script {
            input: vec![keys],
            ..Script::default()
        };
        block_on(prompt(&mut session(), &mut script, Style::Plain));
    }
}
