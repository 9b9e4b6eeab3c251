//! What a client's bytes mean: the line discipline of a terminal, or the end mark of a pipe.
//!
//! A client that is a terminal sends every key as it is pressed and shows nothing by itself: echo, erasing, `^C` and
//! `^D` are this side's. One that is a pipe sends its bytes and then a single `^D`.

use crate::limits::TERMINAL_LINE_BYTES_MAX;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const LINE_FEED: u8 = b'\n';
const CARRIAGE_RETURN: u8 = b'\r';
const ERASE_LINE: u8 = 0x15;
const ERASE_WORD: u8 = 0x17;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What follows from bytes of the client, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Shown back.
    Echo(Vec<u8>),
    /// For the guest.
    Bytes(Vec<u8>),
    /// The guest reads the end of its input.
    End,
    /// `^C`.
    Interrupt,
}

/// A terminal in its usual mode: the guest gets whole lines.
#[derive(Debug, Default)]
pub(super) struct LineDiscipline {
    line: Vec<u8>,
}

impl LineDiscipline {
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut typed = Vec::new();
        for &byte in bytes {
            match byte {
                INTERRUPT => {
                    self.line.clear();
                    echo(&mut typed, b"^C\n");
                    typed.push(Typed::Interrupt);
                }
                END => {
                    // On a real terminal `^D` behind words only hands them over; a pipe behind a terminal's client sends
                    // it once, wherever its input ends, and must not wait for ever.
                    self.hand_over(&mut typed);
                    typed.push(Typed::End);
                }
                CARRIAGE_RETURN | LINE_FEED => {
                    self.line.push(LINE_FEED);
                    echo(&mut typed, b"\n");
                    self.hand_over(&mut typed);
                }
                BACKSPACE | DELETE => erase(&mut typed, usize::from(self.erase_character())),
                ERASE_WORD => erase(&mut typed, self.erase_word()),
                ERASE_LINE => {
                    let characters = count_characters(&self.line);
                    self.line.clear();
                    erase(&mut typed, characters);
                }
                // As long as a line may be in Linux; what is more is dropped with a bell.
                _ if self.line.len() >= TERMINAL_LINE_BYTES_MAX => echo(&mut typed, b"\x07"),
                // Shown as two characters, so that arrow keys do not walk about.
                ESCAPE => {
                    self.line.push(byte);
                    echo(&mut typed, b"^[");
                }
                byte => {
                    self.line.push(byte);
                    echo(&mut typed, &[byte]);
                }
            }
        }
        typed
    }

    fn hand_over(&mut self, typed: &mut Vec<Typed>) {
        if !self.line.is_empty() {
            typed.push(Typed::Bytes(std::mem::take(&mut self.line)));
        }
    }

    /// Removes the last character, whole; true when there was one.
    fn erase_character(&mut self) -> bool {
        let mut erased = false;
        while let Some(byte) = self.line.pop() {
            erased = true;
            if !is_continuation(byte) {
                break;
            }
        }
        erased
    }

    /// Removes spaces, then what is before them up to the next; the number of characters.
    fn erase_word(&mut self) -> usize {
        let before = count_characters(&self.line);
        while self.line.last() == Some(&b' ') {
            self.line.pop();
        }
        while self.line.last().is_some_and(|byte| *byte != b' ') {
            self.line.pop();
        }
        before - count_characters(&self.line)
    }
}

/// A second and third byte of a UTF-8 character.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| !is_continuation(**byte)).count()
}

fn erase(typed: &mut Vec<Typed>, characters: usize) {
    echo(typed, &b"\x08 \x08".repeat(characters));
}

fn echo(typed: &mut Vec<Typed>, bytes: &[u8]) {
    match typed.last_mut() {
        _ if bytes.is_empty() => {}
        Some(Typed::Echo(shown)) => shown.extend_from_slice(bytes),
        _ => typed.push(Typed::Echo(bytes.to_vec())),
    }
}

/// The bytes of a pipe. A `^D` with nothing behind it is held back: it is the end, unless more comes.
#[derive(Debug, Default)]
pub(super) struct PipedInput {
    held: bool,
}

impl PipedInput {
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut data = Vec::with_capacity(bytes.len() + 1);
        if self.held && !bytes.is_empty() {
            data.push(END);
            self.held = false;
        }
        match bytes.split_last() {
            Some((&END, rest)) => {
                data.extend_from_slice(rest);
                self.held = true;
            }
            _ => data.extend_from_slice(bytes),
        }
        data
    }

    /// Whether a `^D` is held back. When nothing follows, it was the end.
    pub fn may_be_over(&self) -> bool {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::{LineDiscipline, PipedInput, Typed};
    use crate::limits::TERMINAL_LINE_BYTES_MAX;

    fn echo(text: &str) -> Typed {
        Typed::Echo(text.as_bytes().to_vec())
    }

    fn bytes(text: &str) -> Typed {
        Typed::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn a_guest_gets_whole_lines_and_the_person_sees_what_they_type() {
        let mut terminal = LineDiscipline::default();
        assert_eq!(terminal.take(b"l"), [echo("l")]);
        assert_eq!(terminal.take(b"s\r"), [echo("s\n"), bytes("ls\n")]);
    }

    #[test]
    fn characters_words_and_lines_are_erased() {
        let mut terminal = LineDiscipline::default();
        terminal.take("aü".as_bytes());
        assert_eq!(terminal.take(b"\x7f"), [echo("\x08 \x08")]);
        assert_eq!(terminal.take(b"\r"), [echo("\n"), bytes("a\n")]);
        terminal.take(b"one two  ");
        assert_eq!(terminal.take(b"\x17"), [echo(&"\x08 \x08".repeat(5))]);
        terminal.take(b"\x15");
        assert_eq!(terminal.take(b"\x7f"), []);
        assert_eq!(terminal.take(b"\r"), [echo("\n"), bytes("\n")]);
    }

    #[test]
    fn an_interrupt_takes_the_line_with_it() {
        let mut terminal = LineDiscipline::default();
        terminal.take(b"rm");
        assert_eq!(terminal.take(b"\x03"), [echo("^C\n"), Typed::Interrupt]);
        assert_eq!(terminal.take(b"\r"), [echo("\n"), bytes("\n")]);
    }

    #[test]
    fn the_end_hands_over_what_is_typed() {
        let mut terminal = LineDiscipline::default();
        assert_eq!(terminal.take(b"x\x04"), [echo("x"), bytes("x"), Typed::End]);
        assert_eq!(terminal.take(b"\x04"), [Typed::End]);
    }

    #[test]
    fn a_line_has_a_bound_and_one_byte_more_is_dropped() {
        let mut terminal = LineDiscipline::default();
        terminal.take(&vec![b'x'; TERMINAL_LINE_BYTES_MAX]);
        assert_eq!(terminal.take(b"y"), [echo("\x07")]);
        let line = format!("{}\n", "x".repeat(TERMINAL_LINE_BYTES_MAX));
        assert_eq!(terminal.take(b"\r"), [echo("\n"), bytes(&line)]);
    }

    #[test]
    fn the_last_end_mark_of_a_pipe_is_its_end_and_others_are_bytes() {
        let mut pipe = PipedInput::default();
        assert_eq!(pipe.take(b"a\x04b"), b"a\x04b");
        assert!(!pipe.may_be_over());
        assert_eq!(pipe.take(b"c\x04"), b"c");
        assert!(pipe.may_be_over());
        assert_eq!(pipe.take(b"d"), b"\x04d");
        assert!(!pipe.may_be_over());
        assert_eq!(pipe.take(b"\x04"), b"");
        assert!(pipe.may_be_over());
    }
}
