//! Splits a line into words, refusing what no understood line has.
//!
//! This runs before the grammar. What is inside of words is nothing to the grammar, so it is given them as so many `x`: it
//! cannot take long over them, cannot read them otherwise than the lexer did, and every place stays where it is.

use crate::construct::Construct;
use crate::error::{ParseError, Position};
use crate::limits::{COMMANDS_MAX, LINE_BYTES_MAX, OPENERS_MAX};
use crate::word::{
    Operator, Otherwise, Parameter, ParameterName, Piece, Word, continues_name, is_name,
    starts_name,
};

/// Words with which the grammar may open something.
const OPENING_WORDS: &[&str] = &[
    "!", "{", "[[", "case", "coproc", "do", "elif", "else", "for", "function", "if", "select",
    "then", "time", "until", "while",
];

/// Variables whose value bash works out when they are asked for.
const COMPUTED_VARIABLES: &[&str] = &[
    "BASH",
    "BASHOPTS",
    "BASHPID",
    "BASH_COMMAND",
    "BASH_SUBSHELL",
    "BASH_VERSINFO",
    "BASH_VERSION",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "IFS",
    "LINENO",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
];

/// A line in words.
pub(crate) struct Lexed {
    pub characters: Vec<char>,
    /// In order.
    pub words: Vec<Word>,
    /// What the grammar is given.
    pub outline: String,
}

pub(crate) fn lex(line: &str) -> Result<Lexed, ParseError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(ParseError::TooLong { bytes: line.len() });
    }
    let characters: Vec<char> = line.chars().collect();
    if let Some(index) = characters.iter().position(|character| *character == '\0') {
        let at = Position::of(&characters, index);
        return Err(ParseError::Nul { at });
    }
    let mut lexer = Lexer {
        outline: characters.clone(),
        characters,
        at: 0,
        words: Vec::new(),
        openers: 0,
        commands: 1,
    };
    lexer.line()?;
    Ok(Lexed {
        characters: lexer.characters,
        words: lexer.words,
        outline: lexer.outline.into_iter().collect(),
    })
}

struct Lexer {
    characters: Vec<char>,
    outline: Vec<char>,
    at: usize,
    words: Vec<Word>,
    openers: usize,
    commands: usize,
}

impl Lexer {
    fn line(&mut self) -> Result<(), ParseError> {
        while let Some(character) = self.peek() {
            match character {
                ' ' | '\t' => self.at += 1,
                '\\' if self.peek_after(1) == Some('\n') => {
                    self.outline[self.at..self.at + 2].fill(' ');
                    self.at += 2;
                }
                '#' => {
                    let start = self.at;
                    while self.peek().is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                    self.outline[start..self.at].fill(' ');
                }
                '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => self.operator(character)?,
                _ => self.word()?,
            }
        }
        Ok(())
    }

    fn operator(&mut self, first: char) -> Result<(), ParseError> {
        let start = self.at;
        let rest = (self.peek_after(1), self.peek_after(2));
        self.at += match (first, rest) {
            ('\n' | ';', _) => {
                self.command()?;
                1
            }
            ('&', (Some('&'), _)) | ('|', (Some('|'), _)) => {
                self.command()?;
                2
            }
            ('&', (Some('>'), Some('>'))) => 3,
            ('&', (Some('>'), _)) | ('>', (Some('>' | '|' | '&'), _)) => 2,
            ('&', _) => return Err(self.unsupported(Construct::Background, start)),
            ('|', _) => return Err(self.unsupported(Construct::Pipe, start)),
            ('<', (Some('<'), Some('<'))) => {
                return Err(self.unsupported(Construct::HereString, start));
            }
            ('<', (Some('<'), _)) => return Err(self.unsupported(Construct::HereDocument, start)),
            ('<' | '>', (Some('('), _)) => {
                return Err(self.unsupported(Construct::ProcessSubstitution, start));
            }
            ('<', (Some('&' | '>'), _)) => {
                return Err(self.unsupported(Construct::Redirection, start));
            }
            ('(', (Some('('), _)) => return Err(self.unsupported(Construct::Arithmetic, start)),
            ('(', _) => {
                self.opener()?;
                1
            }
            _ => 1,
        };
        Ok(())
    }

    fn word(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let mut pieces = Vec::new();
        while let Some(character) = self.peek() {
            match character {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\\' => self.backslash(&mut pieces)?,
                '\'' => self.single_quotes(&mut pieces)?,
                '"' => self.double_quotes(&mut pieces)?,
                '$' => self.dollar(&mut pieces, false)?,
                '`' => return Err(self.unsupported(Construct::CommandSubstitution, self.at)),
                _ => {
                    self.at += 1;
                    push(&mut pieces, character, false);
                }
            }
        }
        let mut word = Word {
            pieces,
            start,
            end: self.at,
        };
        if word
            .bare()
            .is_some_and(|bare| OPENING_WORDS.contains(&bare))
        {
            self.opener()?;
        }
        let names_descriptor = word.bare().is_some_and(|bare| {
            let name = bare
                .strip_prefix('{')
                .and_then(|bare| bare.strip_suffix('}'));
            name.is_some_and(is_name)
        });
        if names_descriptor && matches!(self.peek(), Some('<' | '>')) {
            return Err(self.unsupported(Construct::Redirection, start));
        }
        self.outline_word(&mut word)?;
        self.words.push(word);
        Ok(())
    }

    /// Shows the grammar of a word what has a meaning to it.
    fn outline_word(&mut self, word: &mut Word) -> Result<(), ParseError> {
        let whole = word.bare().filter(|bare| has_meaning(bare));
        let shown: Vec<char> = match (whole, word.assigned_name(), word.pieces.first()) {
            (Some(bare), _, _) => bare.chars().collect(),
            (None, Some((_, length)), Some(Piece::Text { text, .. })) => {
                text[..length].chars().collect()
            }
            _ => Vec::new(),
        };
        let whole = whole.is_some();
        let shown_end = word.start + shown.len();
        self.outline[word.start..shown_end].copy_from_slice(&shown);
        self.outline[shown_end..word.end].fill(if whole { ' ' } else { 'x' });
        // A word that goes on in the next line is shorter than what it is written with.
        if whole && shown_end < word.end {
            let numbers = shown.iter().all(char::is_ascii_digit);
            if numbers && matches!(self.peek(), Some('<' | '>')) {
                return Err(self.unsupported(Construct::Redirection, word.start));
            }
            word.end = shown_end;
        }
        Ok(())
    }

    fn backslash(&mut self, pieces: &mut Vec<Piece>) -> Result<(), ParseError> {
        match self.peek_after(1) {
            None => return Err(self.unclosed("the backslash", self.at)),
            // The line goes on: both characters vanish.
            Some('\n') => {}
            Some(character) => push(pieces, character, true),
        }
        self.at += 2;
        Ok(())
    }

    fn single_quotes(&mut self, pieces: &mut Vec<Piece>) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        touch(pieces);
        loop {
            match self.next() {
                None => return Err(self.unclosed("the single quote", start)),
                Some('\'') => return Ok(()),
                Some(character) => push(pieces, character, true),
            }
        }
    }

    fn double_quotes(&mut self, pieces: &mut Vec<Piece>) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        touch(pieces);
        loop {
            match self.peek() {
                None => return Err(self.unclosed("the double quote", start)),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('$') => self.dollar(pieces, true)?,
                Some('`') => return Err(self.unsupported(Construct::CommandSubstitution, self.at)),
                Some('\\') => {
                    match self.peek_after(1) {
                        None => return Err(self.unclosed("the double quote", start)),
                        Some('\n') => {}
                        Some(character @ ('$' | '`' | '"' | '\\')) => push(pieces, character, true),
                        Some(character) => {
                            push(pieces, '\\', true);
                            push(pieces, character, true);
                        }
                    }
                    self.at += 2;
                }
                Some(character) => {
                    self.at += 1;
                    push(pieces, character, true);
                }
            }
        }
    }

    fn dollar(&mut self, pieces: &mut Vec<Piece>, quoted: bool) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        self.go_on();
        let Some(next) = self.peek() else {
            push(pieces, '$', quoted);
            return Ok(());
        };
        let parameter = match next {
            '(' if self.peek_after(1) == Some('(') => {
                return Err(self.unsupported(Construct::Arithmetic, start));
            }
            '(' => return Err(self.unsupported(Construct::CommandSubstitution, start)),
            '[' => return Err(self.unsupported(Construct::Arithmetic, start)),
            '\'' if !quoted => return Err(self.unsupported(Construct::AnsiQuote, start)),
            '"' if !quoted => return Err(self.unsupported(Construct::LocaleQuote, start)),
            '{' => self.braces(start, quoted)?,
            '?' => {
                self.at += 1;
                Parameter {
                    name: ParameterName::Status,
                    otherwise: None,
                }
            }
            '0'..='9' | '@' | '*' | '#' | '$' | '!' | '-' => {
                return Err(self.unsupported(Construct::SpecialParameter, start));
            }
            character if starts_name(character) => Parameter {
                name: self.variable(start)?,
                otherwise: None,
            },
            _ => {
                push(pieces, '$', quoted);
                return Ok(());
            }
        };
        pieces.push(Piece::Parameter { parameter, quoted });
        Ok(())
    }

    fn variable(&mut self, start: usize) -> Result<ParameterName, ParseError> {
        let mut name = String::new();
        while let Some(character) = self.peek().filter(|character| continues_name(*character)) {
            name.push(character);
            self.at += 1;
            self.go_on();
        }
        if name == "_" {
            return Err(self.unsupported(Construct::SpecialParameter, start));
        }
        if COMPUTED_VARIABLES.contains(&name.as_str()) {
            return Err(self.unsupported(Construct::ComputedVariable, start));
        }
        Ok(ParameterName::Variable(name))
    }

    /// `${…}`, from the opening brace on.
    fn braces(&mut self, start: usize, quoted: bool) -> Result<Parameter, ParseError> {
        self.opener()?;
        self.at += 1;
        self.go_on();
        let name = match self.peek() {
            None => return Err(self.unclosed("the ${", start)),
            Some(character) if starts_name(character) => self.variable(start)?,
            Some('?') => {
                self.at += 1;
                ParameterName::Status
            }
            Some('0'..='9' | '@' | '*' | '$' | '-') => {
                return Err(self.unsupported(Construct::SpecialParameter, start));
            }
            Some(_) => return Err(self.unsupported(Construct::ParameterOperation, start)),
        };
        let empty_is_unset = self.peek() == Some(':');
        if empty_is_unset {
            self.at += 1;
            self.go_on();
        }
        let operator = match self.next() {
            None => return Err(self.unclosed("the ${", start)),
            Some('}') if !empty_is_unset => {
                return Ok(Parameter {
                    name,
                    otherwise: None,
                });
            }
            // `$?` is always set, and cannot be assigned to.
            Some(_) if name == ParameterName::Status => {
                return Err(self.unsupported(Construct::ParameterOperation, start));
            }
            Some('-') => Operator::Default,
            Some('=') => Operator::Assign,
            Some('+') => Operator::Alternative,
            Some('?') => Operator::Require,
            Some(_) => return Err(self.unsupported(Construct::ParameterOperation, start)),
        };
        let word = self.word_in_braces(start, quoted)?;
        Ok(Parameter {
            name,
            otherwise: Some(Box::new(Otherwise {
                operator,
                empty_is_unset,
                word,
            })),
        })
    }

    fn word_in_braces(&mut self, opened: usize, quoted: bool) -> Result<Word, ParseError> {
        let start = self.at;
        let mut pieces = Vec::new();
        loop {
            self.go_on();
            match self.peek() {
                None => return Err(self.unclosed("the ${", opened)),
                Some('}') => {
                    let word = Word {
                        pieces,
                        start,
                        end: self.at,
                    };
                    self.at += 1;
                    return Ok(word);
                }
                Some('"') if !quoted => self.double_quotes(&mut pieces)?,
                // Their meaning here changes with what is around, and between versions of bash.
                Some('\'' | '"' | '\\') => {
                    return Err(self.unsupported(Construct::QuoteInExpansion, self.at));
                }
                Some('`') => return Err(self.unsupported(Construct::CommandSubstitution, self.at)),
                Some('$') => self.dollar(&mut pieces, quoted)?,
                Some(character) => {
                    self.at += 1;
                    push(&mut pieces, character, quoted);
                }
            }
        }
    }

    /// Passes over the ends of lines that go on.
    fn go_on(&mut self) {
        while self.peek() == Some('\\') && self.peek_after(1) == Some('\n') {
            self.at += 2;
        }
    }

    fn peek(&self) -> Option<char> {
        self.peek_after(0)
    }

    fn peek_after(&self, count: usize) -> Option<char> {
        self.characters.get(self.at + count).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek();
        self.at += usize::from(character.is_some());
        character
    }

    fn opener(&mut self) -> Result<(), ParseError> {
        self.openers += 1;
        if self.openers > OPENERS_MAX {
            return Err(ParseError::TooManyOpeners);
        }
        Ok(())
    }

    fn command(&mut self) -> Result<(), ParseError> {
        self.commands += 1;
        if self.commands > COMMANDS_MAX {
            return Err(ParseError::TooManyCommands);
        }
        Ok(())
    }

    fn unsupported(&self, construct: Construct, index: usize) -> ParseError {
        ParseError::Unsupported {
            construct,
            at: Position::of(&self.characters, index),
        }
    }

    fn unclosed(&self, what: &'static str, index: usize) -> ParseError {
        ParseError::Unclosed {
            what,
            at: Position::of(&self.characters, index),
        }
    }
}

/// Whether the grammar must see the word: one of its own words, or what may follow a redirection.
fn has_meaning(bare: &str) -> bool {
    matches!(bare, "!" | "{" | "}" | "[[" | "]]")
        || bare
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "/=+-_.".contains(character))
}

/// Appends a character, to the piece before if that is of its kind.
fn push(pieces: &mut Vec<Piece>, character: char, quoted: bool) {
    if let Some(Piece::Text {
        text,
        quoted: before,
    }) = pieces.last_mut()
        && *before == quoted
    {
        text.push(character);
        return;
    }
    pieces.push(Piece::Text {
        text: character.to_string(),
        quoted,
    });
}

/// Marks that quotes were here, which make a word even around nothing.
fn touch(pieces: &mut Vec<Piece>) {
    if !matches!(pieces.last(), Some(Piece::Text { quoted: true, .. })) {
        pieces.push(Piece::Text {
            text: String::new(),
            quoted: true,
        });
    }
}
