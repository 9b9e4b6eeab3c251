//! A word of a line: text and parameters, each quoted or not.

/// One word, or the value of an assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub pieces: Vec<Piece>,
    /// The characters of the line that it was written with.
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Quoted text is never split, and makes a word even where it is empty.
    Text {
        text: String,
        quoted: bool,
    },
    Parameter {
        parameter: Parameter,
        quoted: bool,
    },
    /// `~`
    Home,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub name: ParameterName,
    pub otherwise: Option<Box<Otherwise>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParameterName {
    Variable(String),
    /// `$?`
    Status,
}

/// What follows the name in `${A:-x}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Otherwise {
    pub operator: Operator,
    /// With a colon an empty value counts as none.
    pub empty_is_unset: bool,
    pub word: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `-`
    Default,
    /// `=`
    Assign,
    /// `+`
    Alternative,
    /// `?`
    Require,
}

impl Word {
    /// The word's text, when it depends on nothing.
    pub fn literal(&self) -> Option<String> {
        let mut literal = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text { text, .. } => literal.push_str(text),
                Piece::Parameter { .. } | Piece::Home => return None,
            }
        }
        Some(literal)
    }

    /// The word's text, when it is written without any quote: only such a word has a meaning in the grammar.
    pub fn bare(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [
                Piece::Text {
                    text,
                    quoted: false,
                },
            ] => Some(text),
            _ => None,
        }
    }

    /// The name that the word assigns to, and how many bytes `NAME=` or `NAME+=` has.
    pub fn assigned_name(&self) -> Option<(&str, usize)> {
        let Some(Piece::Text {
            text,
            quoted: false,
        }) = self.pieces.first()
        else {
            return None;
        };
        let (name, _) = text.split_once('=')?;
        let length = name.len() + 1;
        let name = name.strip_suffix('+').unwrap_or(name);
        is_name(name).then_some((name, length))
    }
}

/// Whether this can name a variable.
pub(crate) fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(starts_name) && characters.all(continues_name)
}

pub(crate) fn starts_name(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

pub(crate) fn continues_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
