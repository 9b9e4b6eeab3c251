//! Finds the `~` that stand for the home directory.

use crate::word::{Piece, Word};

/// Where a word stands, which decides where in it a `~` means home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its beginning only.
    Argument,
    /// After its first `=`, and after each `:` of the value; `NAME=` is part of the word.
    Assignment,
}

/// Replaces each `~` that means home. `None` for one that names another user's.
pub(crate) fn expand_tildes(word: Word, place: Place) -> Option<Word> {
    let mut pieces: Vec<Piece> = Vec::new();
    // Whether a `~` would count at this point, which is so after nothing, `=` or `:` without quotes.
    let mut expected = place == Place::Argument;
    let mut in_value = false;
    let count = word.pieces.len();
    for (index, piece) in word.pieces.into_iter().enumerate() {
        let last = index + 1 == count;
        match piece {
            Piece::Text {
                text,
                quoted: false,
            } => {
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    if expected && rest.starts_with('~') {
                        let ends: &[char] = match place {
                            Place::Argument => &['/'],
                            Place::Assignment => &['/', ':'],
                        };
                        match rest[1..].find(ends) {
                            Some(0) => {
                                pieces.push(Piece::Home);
                                rest = &rest[1..];
                            }
                            None if rest == "~" && last => {
                                pieces.push(Piece::Home);
                                rest = "";
                            }
                            // Quotes follow within the name: it is no name then, and `~` means itself.
                            None if !last => {
                                push(&mut pieces, rest);
                                rest = "";
                            }
                            _ => return None,
                        }
                        expected = false;
                        continue;
                    }
                    let separator = match place {
                        Place::Argument => None,
                        Place::Assignment if in_value => rest.find(':'),
                        Place::Assignment => rest.find('='),
                    };
                    let length = separator.map_or(rest.len(), |index| index + 1);
                    push(&mut pieces, &rest[..length]);
                    rest = &rest[length..];
                    expected = separator.is_some();
                    in_value |= separator.is_some();
                }
            }
            Piece::Parameter {
                mut parameter,
                quoted,
            } => {
                if let Some(otherwise) = &mut parameter.otherwise
                    && !quoted
                {
                    otherwise.word =
                        expand_tildes(std::mem::take(&mut otherwise.word), Place::Argument)?;
                }
                pieces.push(Piece::Parameter { parameter, quoted });
                expected = false;
            }
            piece => {
                pieces.push(piece);
                expected = false;
            }
        }
    }
    Some(Word { pieces, ..word })
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Text {
        text: before,
        quoted: false,
    }) = pieces.last_mut()
    {
        before.push_str(text);
        return;
    }
    pieces.push(Piece::Text {
        text: text.to_owned(),
        quoted: false,
    });
}
