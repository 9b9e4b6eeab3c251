//! A line editor over raw bytes: no terminal is asked anything, so it works through any connection.

use super::Style;
use crate::limits::{HISTORY_LINES_MAX, KEY_BYTES_MAX, LINE_BYTES_MAX};

/// What became of what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Line(String),
    /// ^C
    Interrupt,
    /// ^D on an empty line.
    End,
}

/// Every character is taken to be one column wide, and lines to fit the terminal: only moving about in a line that does not
/// shows it wrongly, what is typed is always right.
#[derive(Debug)]
pub(super) struct LineEditor {
    style: Style,
    prompt: String,
    line: Vec<char>,
    /// Bytes of `line` in UTF-8.
    bytes: usize,
    cursor: usize,
    history: Vec<String>,
    /// The line of the history that is shown; its length while that is a new one.
    shown: usize,
    /// What was typed before the history was looked at.
    draft: Vec<char>,
    /// The beginning of a character of several bytes, or of a key's escape sequence.
    partial: Vec<u8>,
    after_carriage_return: bool,
    ended: bool,
}

impl LineEditor {
    pub fn new(style: Style) -> Self {
        Self {
            style,
            prompt: String::new(),
            line: Vec::new(),
            bytes: 0,
            cursor: 0,
            history: Vec::new(),
            shown: 0,
            draft: Vec::new(),
            partial: Vec::new(),
            after_carriage_return: false,
            ended: false,
        }
    }

    /// Whether no more lines come, after the one that was just given.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Shows the prompt of a new line.
    pub fn begin(&mut self, prompt: &str, output: &mut Vec<u8>) {
        prompt.clone_into(&mut self.prompt);
        self.set_line(Vec::new());
        self.shown = self.history.len();
        if self.style == Style::Terminal {
            output.extend_from_slice(prompt.as_bytes());
        }
    }

    /// Takes a byte; what the terminal is to show is appended to the output.
    pub fn feed(&mut self, byte: u8, output: &mut Vec<u8>) -> Option<Event> {
        let newline_of_pair = std::mem::take(&mut self.after_carriage_return) && byte == b'\n';
        if self.ended || newline_of_pair {
            return None;
        }
        if self.style == Style::Plain {
            return self.feed_plain(byte);
        }
        if self.partial.first() == Some(&0x1b) {
            self.partial.push(byte);
            self.escape_sequence(output);
            return None;
        }
        if byte >= 0x80 || !self.partial.is_empty() {
            if let Some(character) = self.character(byte) {
                self.insert(character, output);
            }
            return None;
        }
        match byte {
            b'\r' | b'\n' => {
                self.after_carriage_return = byte == b'\r';
                output.push(b'\n');
                return Some(Event::Line(self.take_line()));
            }
            0x03 => {
                output.extend_from_slice(b"^C\n");
                return Some(Event::Interrupt);
            }
            0x04 if self.line.is_empty() => {
                self.ended = true;
                return Some(Event::End);
            }
            0x04 => self.delete(output),
            0x01 => self.move_to(0, output),
            0x05 => self.move_to(self.line.len(), output),
            0x02 => self.move_to(self.cursor.saturating_sub(1), output),
            0x06 => self.move_to(self.cursor + 1, output),
            0x08 | 0x7f => self.backspace(output),
            0x0b => self.cut(self.cursor, self.line.len(), output),
            0x0c => {
                output.extend_from_slice(b"\x1b[H\x1b[2J");
                self.redraw(output);
            }
            0x0e => self.look_back(self.shown + 1, output),
            0x10 => self.look_back(self.shown.wrapping_sub(1), output),
            0x15 => self.cut(0, self.cursor, output),
            0x17 => self.cut(self.word_start(), self.cursor, output),
            0x1b => self.partial.push(byte),
            0x20..=0x7e => self.insert(char::from(byte), output),
            _ => {}
        }
        None
    }

    /// Without a terminal: lines as they are, until a byte 4 on a line of its own.
    fn feed_plain(&mut self, byte: u8) -> Option<Event> {
        match byte {
            b'\n' => Some(Event::Line(self.take_line())),
            0x04 if self.line.is_empty() => {
                self.ended = true;
                Some(Event::End)
            }
            // The last line has no line end: this is its end, and the input's.
            0x04 => {
                self.ended = true;
                Some(Event::Line(self.take_line()))
            }
            b'\r' => None,
            byte => {
                if let Some(character) = self.character(byte)
                    && self.bytes <= LINE_BYTES_MAX
                {
                    self.line.push(character);
                    self.bytes += character.len_utf8();
                }
                None
            }
        }
    }

    /// Gathers the bytes of a character. What is not UTF-8 becomes U+FFFD.
    fn character(&mut self, byte: u8) -> Option<char> {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let character = text.chars().next();
                self.partial.clear();
                character
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => {
                self.partial.clear();
                Some(char::REPLACEMENT_CHARACTER)
            }
        }
    }

    fn escape_sequence(&mut self, output: &mut Vec<u8>) {
        let complete = match self.partial.as_slice() {
            [_, b'[' | b'O'] => false,
            [_, b'[' | b'O', .., last] => (0x40..=0x7e).contains(last),
            _ => true,
        };
        if !complete && self.partial.len() < KEY_BYTES_MAX {
            return;
        }
        let key = std::mem::take(&mut self.partial);
        match &key[1..] {
            b"[A" | b"OA" => self.look_back(self.shown.wrapping_sub(1), output),
            b"[B" | b"OB" => self.look_back(self.shown + 1, output),
            b"[C" | b"OC" => self.move_to(self.cursor + 1, output),
            b"[D" | b"OD" => self.move_to(self.cursor.saturating_sub(1), output),
            b"[H" | b"OH" | b"[1~" | b"[7~" => self.move_to(0, output),
            b"[F" | b"OF" | b"[4~" | b"[8~" => self.move_to(self.line.len(), output),
            b"[3~" => self.delete(output),
            _ => {}
        }
    }

    fn insert(&mut self, character: char, output: &mut Vec<u8>) {
        if self.bytes + character.len_utf8() > LINE_BYTES_MAX {
            output.push(0x07);
            return;
        }
        self.line.insert(self.cursor, character);
        self.bytes += character.len_utf8();
        self.cursor += 1;
        if self.cursor == self.line.len() {
            output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.redraw(output);
        }
    }

    fn backspace(&mut self, output: &mut Vec<u8>) {
        let Some(before) = self.cursor.checked_sub(1) else {
            return;
        };
        let last = self.cursor == self.line.len();
        self.remove(before, self.cursor);
        if last {
            output.extend_from_slice(b"\x08 \x08");
        } else {
            self.redraw(output);
        }
    }

    fn delete(&mut self, output: &mut Vec<u8>) {
        self.cut(self.cursor, self.cursor + 1, output);
    }

    fn cut(&mut self, from: usize, to: usize, output: &mut Vec<u8>) {
        let to = to.min(self.line.len());
        if from < to {
            self.remove(from, to);
            self.redraw(output);
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        let removed: usize = self.line.drain(from..to).map(char::len_utf8).sum();
        self.bytes -= removed;
        self.cursor = from;
    }

    fn word_start(&self) -> usize {
        let before = &self.line[..self.cursor];
        let end = before
            .iter()
            .rposition(|character| *character != ' ')
            .map_or(0, |last| last + 1);
        before[..end]
            .iter()
            .rposition(|character| *character == ' ')
            .map_or(0, |space| space + 1)
    }

    fn move_to(&mut self, cursor: usize, output: &mut Vec<u8>) {
        if cursor <= self.line.len() && cursor != self.cursor {
            self.cursor = cursor;
            self.redraw(output);
        }
    }

    fn look_back(&mut self, index: usize, output: &mut Vec<u8>) {
        if index > self.history.len() {
            return;
        }
        if self.shown == self.history.len() {
            self.draft = self.line.clone();
        }
        self.shown = index;
        let line = match self.history.get(index) {
            Some(line) => line.chars().collect(),
            None => std::mem::take(&mut self.draft),
        };
        self.set_line(line);
        self.redraw(output);
    }

    fn take_line(&mut self) -> String {
        let line: String = std::mem::take(&mut self.line).into_iter().collect();
        self.set_line(Vec::new());
        let is_new = self.history.last() != Some(&line);
        if self.style == Style::Terminal && is_new && !line.trim().is_empty() {
            if self.history.len() == HISTORY_LINES_MAX {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        line
    }

    fn set_line(&mut self, line: Vec<char>) {
        self.bytes = line.iter().map(|character| character.len_utf8()).sum();
        self.cursor = line.len();
        self.line = line;
    }

    fn redraw(&self, output: &mut Vec<u8>) {
        let line: String = self.line.iter().collect();
        let back = self.line.len() - self.cursor;
        output.extend_from_slice(format!("\r{}{line}\x1b[K", self.prompt).as_bytes());
        if back > 0 {
            output.extend_from_slice(format!("\x1b[{back}D").as_bytes());
        }
    }
}
