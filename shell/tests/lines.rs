//! What is understood, what is refused and how that is told, and every bound.

use dyno_shell::limits::{COMMANDS_MAX, LINE_BYTES_MAX, OPENERS_MAX};
use dyno_shell::{Construct, Line, ParseError, Session, is_prompt_requested};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

#[test]
fn each_construct_is_refused_by_name_at_its_place() {
    for (line, construct, column) in [
        ("a | b", Construct::Pipe, 3),
        ("a |& b", Construct::Pipe, 3),
        ("a > b", Construct::Redirection, 3),
        ("a >> /dev/nullx", Construct::Redirection, 3),
        ("a < b", Construct::Redirection, 3),
        ("a <> /dev/null", Construct::Redirection, 3),
        ("a <&0", Construct::Redirection, 3),
        ("a >&-", Construct::Redirection, 3),
        ("a 2>&1-", Construct::Redirection, 4),
        ("a >\"/dev/null\"x", Construct::Redirection, 3),
        ("a {f}>/dev/null", Construct::Redirection, 3),
        ("a >$A", Construct::Redirection, 3),
        ("exec >/dev/null", Construct::Redirection, 6),
        ("a <<E\nb\nE", Construct::HereDocument, 3),
        ("a <<< b", Construct::HereString, 3),
        ("a <(b)", Construct::ProcessSubstitution, 3),
        ("a $(b)", Construct::CommandSubstitution, 3),
        ("a \"x`b`\"", Construct::CommandSubstitution, 5),
        ("A=`b`", Construct::CommandSubstitution, 3),
        ("a $((1))", Construct::Arithmetic, 3),
        ("((A++))", Construct::Arithmetic, 1),
        ("for ((;;)) do a; done", Construct::Arithmetic, 5),
        ("a $[1]", Construct::Arithmetic, 3),
        ("a & b", Construct::Background, 3),
        ("for a in b; do c; done", Construct::Loop, 1),
        ("while a; do b; done", Construct::Loop, 1),
        ("until a; do b; done", Construct::Loop, 1),
        ("select a in b; do c; done", Construct::Loop, 1),
        ("x; if a; then b; fi", Construct::Condition, 4),
        ("case a in b) c;; esac", Construct::Condition, 1),
        ("f() { a; }", Construct::Function, 1),
        ("function f { a; }", Construct::Function, 1),
        ("coproc a", Construct::Coprocess, 1),
        ("time a", Construct::Time, 1),
        ("[[ a == b ]]", Construct::DoubleBracket, 1),
        ("A=(1 2)", Construct::Array, 1),
        ("A[0]=1", Construct::Array, 1),
        ("export A=(1)", Construct::Array, 8),
        ("ls *.py", Construct::Glob, 4),
        ("rake task[1]", Construct::Glob, 6),
        ("a b?", Construct::Glob, 3),
        ("a ${B:-*}", Construct::Glob, 8),
        ("a {b,c}", Construct::BraceExpansion, 3),
        ("a {1..3}", Construct::BraceExpansion, 3),
        ("a $'b'", Construct::AnsiQuote, 3),
        ("a $\"b\"", Construct::LocaleQuote, 3),
        ("a \"$1\"", Construct::SpecialParameter, 4),
        ("a $$", Construct::SpecialParameter, 3),
        ("a $_", Construct::SpecialParameter, 3),
        ("a ${@}", Construct::SpecialParameter, 3),
        ("a $RANDOM", Construct::ComputedVariable, 3),
        ("a ${A#b}", Construct::ParameterOperation, 3),
        ("a ${#A}", Construct::ParameterOperation, 3),
        ("a ${!A}", Construct::ParameterOperation, 3),
        ("a ${A[0]}", Construct::ParameterOperation, 3),
        ("a ${A:1}", Construct::ParameterOperation, 3),
        ("a ${}", Construct::ParameterOperation, 3),
        ("a ${A:-'b'}", Construct::QuoteInExpansion, 8),
        ("a \"${A:-\"b\"}\"", Construct::QuoteInExpansion, 9),
        ("a ~root", Construct::NamedHome, 3),
        ("A=b:~+", Construct::NamedHome, 1),
        ("IFS=:", Construct::FieldSeparator, 1),
        ("export IFS=:", Construct::FieldSeparator, 8),
        ("source x", Construct::Builtin("source"), 1),
        ("x && set -e", Construct::Builtin("set"), 6),
    ] {
        match Line::parse(line) {
            Err(ParseError::Unsupported {
                construct: found,
                at,
            }) => {
                assert_eq!(
                    (found, at.line, at.column),
                    (construct, 1, column),
                    "{line}"
                );
            }
            other => panic!("{line}: {other:?}"),
        }
        assert!(!construct.hint().is_empty());
    }
}

#[test]
fn what_is_quoted_is_no_construct() {
    for line in [
        "a '|' \"&\" \\> '$(b)' \\`b\\` \\$1 '*' \"?\" \\[a] '{a,b}' '~root'",
        "node -e 'for (const a of [1]) { if (a) console.log(`${a}`) }'",
        "a if then for while case { } ! [[ in do",
        "a [ ] {} {a} ] a} b,c",
        "A='$(b)' B=\"*\" C=* D=a?b a",
        "echo a # | & $(",
    ] {
        assert!(Line::parse(line).is_ok(), "{line}: {:?}", Line::parse(line));
    }
}

#[test]
fn what_is_no_shell_is_told_with_its_place() {
    for (line, told) in [
        ("a ;; b", "syntax error at column 3"),
        ("; a", "syntax error at column 1"),
        ("a )", "syntax error at column 3"),
        ("()", "syntax error at column 2"),
        ("a\n}", "syntax error at line 2, column 1"),
        ("! && a", "syntax error at column 1"),
        ("a 'b", "the single quote at column 3 is not closed"),
        (
            "a\nb \"c\nd",
            "the double quote at line 2, column 3 is not closed",
        ),
        ("a ${B", "the ${ at column 3 is not closed"),
        ("a \\", "the backslash at column 3 is not closed"),
        ("a \0", "the command has a NUL byte at column 3"),
        (
            "a &&",
            "the line ends too early: a command or a closing word is missing",
        ),
        (
            "{ a; ",
            "the line ends too early: a command or a closing word is missing",
        ),
        (
            "(a",
            "the line ends too early: a command or a closing word is missing",
        ),
    ] {
        let error = Line::parse(line).expect_err(line).to_string();
        let mut lines = error.lines();
        assert_eq!(lines.next(), Some(told), "{line}");
        assert!(
            lines
                .next()
                .is_some_and(|hint| hint.starts_with("  hint: ")),
            "{line}"
        );
    }
}

#[test]
fn more_text_completes_only_what_is_open() {
    for (line, incomplete) in [
        ("a '", true),
        ("a && ", true),
        ("{ a", true),
        ("a ;;", false),
        ("a | b", false),
    ] {
        assert_eq!(
            Line::parse(line).expect_err(line).is_incomplete(),
            incomplete,
            "{line}"
        );
    }
}

#[test]
fn programs_are_those_whose_names_are_written_out() {
    for (line, programs) in [
        ("web --port $PORT", vec!["web"]),
        ("A=b exec bin/server", vec!["bin/server"]),
        (
            "cd x && (python a || ! { node b; }); $C d; echo e; ls; exit",
            vec!["python", "node"],
        ),
        ("exec env -i A=b C=d 'my program'", vec!["my program"]),
        ("env -u A python", vec![]),
        ("A=b", vec![]),
        ("", vec![]),
    ] {
        let understood = Line::parse(line).unwrap().programs();
        assert_eq!(understood, programs, "{line}");
    }
}

#[test]
fn only_one_program_is_simple() {
    let session = Session::new([("PORT", "1"), ("P", "cd")], "/app");
    for (line, literal, expanded) in [
        ("a 'b c' d\\ e", true, true),
        ("exec a", true, true),
        ("A=b a", true, true),
        ("a $PORT", false, true),
        ("a ~", false, true),
        ("A+=b a", false, false),
        ("a; b", false, false),
        ("a && b", false, false),
        ("! a", false, false),
        ("{ a; }", false, false),
        ("a 2>&1", false, false),
        ("cd a", false, false),
        ("exec echo a", false, false),
        ("bash", false, false),
        ("$P a", false, false),
        ("$NONE", false, false),
        ("a ${NONE:?}", false, false),
        ("A=b", false, false),
        ("", false, false),
    ] {
        let parsed = Line::parse(line).unwrap();
        assert_eq!(parsed.as_simple().is_some(), literal, "{line}");
        assert_eq!(parsed.to_simple(&session).is_some(), expanded, "{line}");
    }
}

#[test]
fn a_prompt_is_asked_for_by_name_alone() {
    for (line, asked) in [
        ("bash", true),
        ("sh", true),
        ("/bin/bash -l", true),
        ("exec bash --login", true),
        ("bash -c a", false),
        ("bash x.sh", false),
        ("bash; a", false),
        ("A=b bash", false),
        ("python", false),
    ] {
        assert_eq!(
            is_prompt_requested(&Line::parse(line).unwrap()),
            asked,
            "{line}"
        );
    }
}

#[test]
fn the_exit_codes_echo_is_taken_off() {
    let line = Line::parse("a b ; echo \"\u{ffff} heroku-command-exit-status: $?\"").unwrap();
    assert!(line.wants_exit_code());
    assert_eq!(line.as_simple().unwrap().words, ["a", "b"]);
    assert!(
        !Line::parse("a b ; echo \"heroku-command-exit-status: $?\"")
            .unwrap()
            .wants_exit_code()
    );
}

#[test]
fn nothing_of_a_line_or_a_session_is_shown_for_debugging_but_names() {
    let line = Line::parse("TOKEN=secret python --key secret").unwrap();
    let session = Session::new([("TOKEN", "secret")], "/app");
    let text = format!("{line:?} {:?} {session:?}", line.as_simple());
    assert!(text.contains("python") && text.contains("TOKEN"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_line_has_a_longest_length() {
    let fits = "a".repeat(LINE_BYTES_MAX);
    assert!(Line::parse(&fits).is_ok());
    let error = Line::parse(&(fits + "a")).unwrap_err();
    assert_eq!(
        error,
        ParseError::TooLong {
            bytes: LINE_BYTES_MAX + 1
        }
    );
}

#[test]
fn a_line_has_so_many_commands() {
    for separator in ["; ", " && ", " || ", "\n"] {
        let fits = vec!["a"; COMMANDS_MAX].join(separator);
        assert!(Line::parse(&fits).is_ok(), "{separator:?}");
        let over = fits + separator + "a";
        assert_eq!(
            Line::parse(&over),
            Err(ParseError::TooManyCommands),
            "{separator:?}"
        );
    }
}

#[test]
fn a_line_opens_so_much() {
    let groups = |count: usize| "{ ".repeat(count) + "a" + &"; }".repeat(count);
    let shells = |count: usize| "( ".repeat(count) + "a" + &" )".repeat(count);
    let expansions = |count: usize| "a ".to_owned() + &"${A:-".repeat(count) + &"}".repeat(count);
    let words = |count: usize| "a".to_owned() + &" if".repeat(count);
    for make in [
        &groups as &dyn Fn(usize) -> String,
        &shells,
        &expansions,
        &words,
    ] {
        assert!(
            Line::parse(&make(OPENERS_MAX)).is_ok(),
            "{}",
            make(OPENERS_MAX)
        );
        assert_eq!(
            Line::parse(&make(OPENERS_MAX + 1)),
            Err(ParseError::TooManyOpeners)
        );
    }
}

/// What a line that means harm is made of.
const FRAGMENTS: &[&str] = &[
    "(",
    ")",
    "((",
    "))",
    "{",
    "}",
    "{ ",
    "; }",
    "[",
    "]",
    "[[ ",
    " ]]",
    "$",
    "${",
    "${a:-",
    "${a[",
    "$((",
    "$(",
    "$[",
    "`",
    "'",
    "\"",
    "\\",
    "\\\n",
    "\n",
    "\r",
    "\t",
    " ",
    ";",
    ";;",
    "&",
    "&&",
    "|",
    "||",
    "!",
    "! ",
    "#",
    "~",
    "~9",
    "=",
    "a=",
    "a+=(",
    "a[",
    "<",
    "<<",
    "<<<",
    "<<-a",
    ">",
    ">&",
    "&>",
    "9999999999999>",
    "{a}>",
    "if ",
    "then ",
    "elif ",
    "else ",
    "fi ",
    "for ",
    "in ",
    "do ",
    "done ",
    "while ",
    "until ",
    "case ",
    "esac ",
    "select ",
    "function ",
    "coproc ",
    "time ",
    "a",
    "b ",
    "1",
    "-",
    "--",
    "+",
    "*",
    "?",
    "@(",
    "!(",
    ",",
    "..",
    ":",
    "/",
    "é",
    "\u{ffff}",
    "\u{0}",
    "\u{7f}",
    "\u{a0}",
    "\u{2028}",
    "-a ",
    "? ",
    "export ",
    "exec ",
];

/// On the two megabytes of stack that a test's thread has, as a worker of a server.
#[test]
fn every_line_is_understood_or_refused_in_bounded_time() {
    let began = std::time::Instant::now();
    let mut random = StdRng::seed_from_u64(5);
    let mut understood = 0;
    for round in 0..10_000 {
        let count = random.random_range(1..if round % 10 == 0 { 200 } else { 12 });
        let line: String = (0..count)
            .map(|_| FRAGMENTS[random.random_range(0..FRAGMENTS.len())])
            .collect();
        understood += usize::from(Line::parse(&line).is_ok());
    }
    assert!(understood > 100, "{understood}");
    // The longest line of each fragment, and of each pair with the first as many times as the second.
    for fragment in FRAGMENTS {
        for prefix in ["", "a ", "a=", "a[", "echo \"", "[ "] {
            let count = (LINE_BYTES_MAX - prefix.len()) / fragment.len();
            let _ = Line::parse(&(prefix.to_owned() + &fragment.repeat(count)));
        }
    }
    for open in FRAGMENTS {
        for close in ["}", "]", ")", " a", "\"", "; a", "1"] {
            let count = LINE_BYTES_MAX / (open.len() + close.len());
            let _ = Line::parse(&(open.repeat(count) + &close.repeat(count)));
            let _ = Line::parse(&format!("{open}{close}").repeat(count));
        }
    }
    assert!(began.elapsed().as_secs() < 120, "{:?}", began.elapsed());
}
