//! Turns words into what programs are given: variables replaced, unquoted values split.

use crate::limits::EXPANSION_BYTES_MAX;
use crate::session::{Session, VariableTooLarge};
use crate::word::{Operator, Otherwise, Parameter, ParameterName, Piece, Word};

/// Where `~` leads when nobody says otherwise: an app's directory.
const HOME: &str = "/app";

/// Why a word has no value. bash ends the whole line then, and so does this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("{name}: {message}")]
    Unset { name: String, message: String },
    #[error("the words of the command are longer than {EXPANSION_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{name}: {source}")]
    Variable {
        name: String,
        source: VariableTooLarge,
    },
}

/// The words of a command.
pub(crate) fn expand(words: &[Word], session: &mut Session) -> Result<Vec<String>, ExpandError> {
    let mut fields = Vec::new();
    let mut expansion = Expansion::new(session);
    // Only a bare `export` does not split what it is to assign: it is part of the grammar then.
    let declares = words
        .first()
        .is_some_and(|word| word.bare() == Some("export"));
    for word in words {
        let whole = declares && word.assigned_name().is_some();
        expansion.word(
            word,
            if whole {
                Splitting::Never
            } else {
                Splitting::Values
            },
        )?;
        fields.append(&mut expansion.fields);
        fields.extend(expansion.current.take());
    }
    Ok(fields)
}

/// The value of an assignment, which is never split.
pub(crate) fn expand_whole(word: &Word, session: &mut Session) -> Result<String, ExpandError> {
    let mut expansion = Expansion::new(session);
    expansion.word(word, Splitting::Never)?;
    Ok(expansion.current.unwrap_or_default())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Splitting {
    Never,
    /// Values are split at white space, text as it is written is not.
    Values,
    /// Text is split too: the word of `${A:-x y}`.
    Everything,
}

struct Expansion<'a> {
    session: &'a mut Session,
    fields: Vec<String>,
    /// The field that is being made. An empty one is a field; none is not.
    current: Option<String>,
    bytes: usize,
}

impl<'a> Expansion<'a> {
    fn new(session: &'a mut Session) -> Self {
        Self {
            session,
            fields: Vec::new(),
            current: None,
            bytes: 0,
        }
    }

    fn word(&mut self, word: &Word, splitting: Splitting) -> Result<(), ExpandError> {
        for piece in &word.pieces {
            match piece {
                Piece::Text { text, quoted } => {
                    if *quoted || splitting != Splitting::Everything {
                        self.append(text)?;
                    } else {
                        self.split(text)?;
                    }
                }
                Piece::Home => {
                    let home = self.session.get("HOME").unwrap_or(HOME).to_owned();
                    self.append(&home)?;
                }
                Piece::Parameter { parameter, quoted } => {
                    if *quoted || splitting == Splitting::Never {
                        // An empty value in quotes is a word, and `A=$EMPTY` is an assignment.
                        self.append("")?;
                        self.parameter(parameter, Splitting::Never)?;
                    } else {
                        self.parameter(parameter, Splitting::Everything)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn parameter(
        &mut self,
        parameter: &Parameter,
        splitting: Splitting,
    ) -> Result<(), ExpandError> {
        let (name, value) = match &parameter.name {
            ParameterName::Status => ("?", Some(self.session.status.0.to_string())),
            ParameterName::Variable(name) => {
                (name.as_str(), self.session.get(name).map(str::to_owned))
            }
        };
        let Some(otherwise) = &parameter.otherwise else {
            return self.value(&value.unwrap_or_default(), splitting);
        };
        let Otherwise {
            operator,
            empty_is_unset,
            word,
        } = otherwise.as_ref();
        let value = value.filter(|value| !(*empty_is_unset && value.is_empty()));
        match (operator, value) {
            (Operator::Alternative, None) => Ok(()),
            (Operator::Alternative, Some(_)) | (Operator::Default, None) => {
                self.word(word, splitting)
            }
            (_, Some(value)) => self.value(&value, splitting),
            (Operator::Assign, None) => {
                let value = expand_whole(word, self.session)?;
                self.session
                    .set(name, value.clone())
                    .map_err(|source| ExpandError::Variable {
                        name: name.to_owned(),
                        source,
                    })?;
                self.value(&value, splitting)
            }
            (Operator::Require, None) => {
                let mut message = expand_whole(word, self.session)?;
                if message.is_empty() {
                    message = match empty_is_unset {
                        true => "parameter null or not set".to_owned(),
                        false => "parameter not set".to_owned(),
                    };
                }
                let name = name.to_owned();
                Err(ExpandError::Unset { name, message })
            }
        }
    }

    fn value(&mut self, value: &str, splitting: Splitting) -> Result<(), ExpandError> {
        match splitting {
            Splitting::Never => self.append(value),
            Splitting::Values | Splitting::Everything => self.split(value),
        }
    }

    /// Appends to the field at hand, and begins one where there is none.
    fn append(&mut self, text: &str) -> Result<(), ExpandError> {
        self.count(text)?;
        self.current.get_or_insert_default().push_str(text);
        Ok(())
    }

    /// Appends, with white space ending the field at hand.
    fn split(&mut self, text: &str) -> Result<(), ExpandError> {
        self.count(text)?;
        for character in text.chars() {
            if matches!(character, ' ' | '\t' | '\n') {
                self.fields.extend(self.current.take());
            } else {
                self.current.get_or_insert_default().push(character);
            }
        }
        Ok(())
    }

    fn count(&mut self, text: &str) -> Result<(), ExpandError> {
        self.bytes += text.len();
        if self.bytes > EXPANSION_BYTES_MAX {
            return Err(ExpandError::TooLarge);
        }
        Ok(())
    }
}
