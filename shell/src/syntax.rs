//! The tree of an understood line, made from the grammar's.

use rable::ast::{ListOperator, Node as Parsed, NodeKind};

use crate::construct::Construct;
use crate::error::{ParseError, Position};
use crate::host::{Input, Output, Streams};
use crate::lexer::{Lexed, lex};
use crate::tilde::{Place, expand_tildes};
use crate::word::{Piece, Word, is_name};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// `a; b; c`
    Sequence(Vec<Node>),
    /// `a && b || c`: left to right, neither binds tighter.
    Chain {
        first: Box<Node>,
        rest: Vec<(Connector, Node)>,
    },
    /// `! a`
    Not(Box<Node>),
    /// `{ a; }`
    Group {
        body: Box<Node>,
        redirections: Vec<Redirection>,
    },
    /// `( a )`
    Subshell {
        body: Box<Node>,
        redirections: Vec<Redirection>,
    },
    Command(Command),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connector {
    And,
    Or,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub assignments: Vec<Assignment>,
    pub words: Vec<Word>,
    pub redirections: Vec<Redirection>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub name: String,
    /// `NAME+=value`
    pub append: bool,
    pub value: Word,
}

/// The redirections that need no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirection {
    /// `</dev/null`
    NoInput,
    /// `>/dev/null`
    DropOutput,
    /// `2>/dev/null`
    DropErrors,
    /// `2>&1`
    ErrorsToOutput,
    /// `>&2`
    OutputToErrors,
}

impl Redirection {
    /// Where a command's streams go, once its redirections are applied from left to right.
    pub fn apply(redirections: &[Self], mut streams: Streams) -> Streams {
        for redirection in redirections {
            match redirection {
                Self::NoInput => streams.input = Input::Empty,
                Self::DropOutput => streams.output = Output::Null,
                Self::DropErrors => streams.errors = Output::Null,
                Self::ErrorsToOutput => streams.errors = streams.output,
                Self::OutputToErrors => streams.output = streams.errors,
            }
        }
        streams
    }
}

impl Assignment {
    /// The assignment that the word is, if it is one.
    pub fn of(word: &Word) -> Option<Self> {
        let (name, length) = word.assigned_name()?;
        let mut value = word.clone();
        let name = name.to_owned();
        let Some(Piece::Text { text, .. }) = value.pieces.first_mut() else {
            return None;
        };
        let append = text[..length].ends_with("+=");
        text.drain(..length);
        if text.is_empty() {
            value.pieces.remove(0);
        }
        Some(Self {
            name,
            append,
            value,
        })
    }
}

/// Parses a line.
pub(crate) fn parse(line: &str) -> Result<Node, ParseError> {
    let Lexed {
        characters,
        words,
        outline,
    } = lex(line)?;
    let parsed = rable::parse(&outline, false).map_err(|error| {
        if error.pos() >= characters.len() {
            ParseError::Incomplete
        } else {
            ParseError::Syntax {
                at: Position::of(&characters, error.pos()),
            }
        }
    })?;
    let lowering = Lowering { characters, words };
    let nodes: Result<Vec<_>, _> = parsed.iter().map(|node| lowering.node(node)).collect();
    let mut nodes = nodes?;
    Ok(match nodes.len() {
        1 => nodes.remove(0),
        _ => Node::Sequence(nodes),
    })
}

struct Lowering {
    characters: Vec<char>,
    words: Vec<Word>,
}

impl Lowering {
    fn node(&self, node: &Parsed) -> Result<Node, ParseError> {
        let construct = match &node.kind {
            NodeKind::List { items } => return self.list(items),
            NodeKind::Negation { pipeline } => {
                return Ok(Node::Not(Box::new(self.node(pipeline)?)));
            }
            NodeKind::BraceGroup { body, redirects } => {
                return Ok(Node::Group {
                    body: Box::new(self.node(body)?),
                    redirections: self.redirections(redirects)?,
                });
            }
            NodeKind::Subshell { body, redirects } => {
                return Ok(Node::Subshell {
                    body: Box::new(self.node(body)?),
                    redirections: self.redirections(redirects)?,
                });
            }
            NodeKind::Command {
                assignments,
                words,
                redirects,
            } => return self.command(assignments, words, redirects),
            // `!` alone negates a command that does nothing.
            NodeKind::Empty | NodeKind::Comment { .. } => {
                return Ok(Node::Command(Command::default()));
            }
            NodeKind::Pipeline { .. } => Construct::Pipe,
            NodeKind::If { .. } | NodeKind::Case { .. } => Construct::Condition,
            NodeKind::While { .. }
            | NodeKind::Until { .. }
            | NodeKind::For { .. }
            | NodeKind::Select { .. } => Construct::Loop,
            NodeKind::Function { .. } => Construct::Function,
            NodeKind::Coproc { .. } => Construct::Coprocess,
            NodeKind::Time { .. } => Construct::Time,
            NodeKind::ConditionalExpr { .. } => Construct::DoubleBracket,
            NodeKind::ArithmeticCommand { .. } | NodeKind::ForArith { .. } => Construct::Arithmetic,
            _ => return Err(self.syntax(node.span.start)),
        };
        Err(self.unsupported(construct, node.span.start))
    }

    /// The grammar nests `a; b; c` to the left; here it is flat.
    fn list(&self, items: &[rable::ast::ListItem]) -> Result<Node, ParseError> {
        let mut nodes = Vec::new();
        let mut operator = None;
        for item in items {
            let node = self.node(&item.command)?;
            match operator {
                Some(ListOperator::And) => chain(&mut nodes, Connector::And, node),
                Some(ListOperator::Or) => chain(&mut nodes, Connector::Or, node),
                _ => match node {
                    Node::Sequence(more) if nodes.is_empty() => nodes = more,
                    node => nodes.push(node),
                },
            }
            operator = item.operator;
            // The grammar lets `! && a` pass; bash does not.
            if matches!(operator, Some(ListOperator::And | ListOperator::Or))
                && is_empty_negation(&item.command)
            {
                return Err(self.syntax(item.command.span.start));
            }
            if operator == Some(ListOperator::Background) {
                return Err(self.unsupported(Construct::Background, item.command.span.end));
            }
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Sequence(nodes),
        })
    }

    fn command(
        &self,
        assignments: &[Parsed],
        words: &[Parsed],
        redirects: &[Parsed],
    ) -> Result<Node, ParseError> {
        let mut command = Command {
            redirections: self.redirections(redirects)?,
            ..Command::default()
        };
        for node in assignments {
            let word = expand_tildes(self.word(node)?, Place::Assignment)
                .ok_or_else(|| self.unsupported(Construct::NamedHome, node.span.start))?;
            let assignment = Assignment::of(&word)
                .ok_or_else(|| self.unsupported(Construct::Array, node.span.start))?;
            if assignment.name == "IFS" {
                return Err(self.unsupported(Construct::FieldSeparator, node.span.start));
            }
            command.assignments.push(assignment);
        }
        let mut declares = false;
        for (index, node) in words.iter().enumerate() {
            let word = self.word(node)?;
            if (index == 0 || declares) && assigns_element(&word) {
                return Err(self.unsupported(Construct::Array, word.start));
            }
            if index == 0 {
                declares = word.bare() == Some("export");
                self.refuse_builtin(&word)?;
            }
            let assigns = word.assigned_name().is_some();
            if assigns && declares && word.assigned_name().is_some_and(|(name, _)| name == "IFS") {
                return Err(self.unsupported(Construct::FieldSeparator, word.start));
            }
            let place = if assigns {
                Place::Assignment
            } else {
                Place::Argument
            };
            let word = expand_tildes(word, place)
                .ok_or_else(|| self.unsupported(Construct::NamedHome, node.span.start))?;
            if !(assigns && declares) {
                self.refuse_patterns(&word)?;
            }
            command.words.push(word);
        }
        let redirects_forever = command.words.len() == 1
            && command.words[0].bare() == Some("exec")
            && !command.redirections.is_empty();
        if redirects_forever {
            let start = redirects.first().map_or(0, |node| node.span.start);
            return Err(self.unsupported(Construct::Redirection, start));
        }
        Ok(Node::Command(command))
    }

    /// The lexer's word for the grammar's.
    fn word(&self, node: &Parsed) -> Result<Word, ParseError> {
        let start = node.span.start;
        let found = self.words.binary_search_by_key(&start, |word| word.start);
        match found.map(|index| &self.words[index]) {
            Ok(word) if word.end == node.span.end => Ok(word.clone()),
            // `A=(1 2)` is one word for the grammar.
            Ok(word) if self.characters.get(word.end) == Some(&'(') => {
                Err(self.unsupported(Construct::Array, start))
            }
            _ => Err(self.syntax(start)),
        }
    }

    fn redirections(&self, nodes: &[Parsed]) -> Result<Vec<Redirection>, ParseError> {
        let mut redirections = Vec::new();
        for node in nodes {
            let known = match &node.kind {
                NodeKind::Redirect {
                    op,
                    target,
                    fd,
                    varfd: None,
                } if matches!(target.kind, NodeKind::Word { .. }) => self
                    .target(node.span.start + op.len())
                    .and_then(|target| redirection(op, *fd, target)),
                NodeKind::HereDoc { .. } => {
                    return Err(self.unsupported(Construct::HereDocument, node.span.start));
                }
                _ => None,
            };
            let known =
                known.ok_or_else(|| self.unsupported(Construct::Redirection, node.span.start))?;
            redirections.extend_from_slice(known);
        }
        Ok(redirections)
    }

    /// The first word from here on, which the grammar has only without its place, and without the `-` of `2>&1-`.
    fn target(&self, start: usize) -> Option<&str> {
        let index = self.words.partition_point(|word| word.start < start);
        self.words.get(index)?.bare()
    }

    fn refuse_builtin(&self, word: &Word) -> Result<(), ParseError> {
        let Some(name) = word.literal() else {
            return Ok(());
        };
        match MISSING_BUILTINS.iter().find(|builtin| **builtin == name) {
            Some(builtin) => Err(self.unsupported(Construct::Builtin(builtin), word.start)),
            None => Ok(()),
        }
    }

    /// Patterns and braces stand for other words, and are refused where they are not quoted.
    fn refuse_patterns(&self, word: &Word) -> Result<(), ParseError> {
        // Quoted parts cannot be part of a pattern's syntax; any other character holds their place.
        let mut bare = String::new();
        for piece in &word.pieces {
            match piece {
                Piece::Text {
                    text,
                    quoted: false,
                } => bare.push_str(text),
                Piece::Text { .. } | Piece::Home => bare.push('_'),
                Piece::Parameter { parameter, quoted } => {
                    bare.push('_');
                    if let Some(otherwise) = &parameter.otherwise
                        && !quoted
                    {
                        self.refuse_patterns(&otherwise.word)?;
                    }
                }
            }
        }
        let bracket = bare
            .find('[')
            .is_some_and(|open| bare[open..].contains(']'));
        if bare.contains(['*', '?']) || bracket {
            return Err(self.unsupported(Construct::Glob, word.start));
        }
        let brace = bare.find('{').is_some_and(|open| {
            let inside = &bare[open..];
            inside
                .find('}')
                .is_some_and(|_| inside.contains(',') || inside.contains(".."))
        });
        if brace {
            return Err(self.unsupported(Construct::BraceExpansion, word.start));
        }
        Ok(())
    }

    fn unsupported(&self, construct: Construct, index: usize) -> ParseError {
        ParseError::Unsupported {
            construct,
            at: Position::of(&self.characters, index),
        }
    }

    fn syntax(&self, index: usize) -> ParseError {
        ParseError::Syntax {
            at: Position::of(&self.characters, index),
        }
    }
}

/// `!` with nothing after it, possibly at the end of a list.
fn is_empty_negation(node: &Parsed) -> bool {
    match &node.kind {
        NodeKind::Negation { pipeline } => pipeline.kind == NodeKind::Empty,
        NodeKind::List { items } => items
            .last()
            .is_some_and(|last| is_empty_negation(&last.command)),
        _ => false,
    }
}

/// `A[0]=1`, of which the grammar sees nothing; and `A[` alone, after which bash looks for the `]`.
fn assigns_element(word: &Word) -> bool {
    let Some(Piece::Text {
        text,
        quoted: false,
    }) = word.pieces.first()
    else {
        return false;
    };
    text.split_once('[').is_some_and(|(name, rest)| {
        is_name(name) && (!rest.contains(']') || rest.contains("]=") || rest.contains("]+="))
    })
}

fn chain(nodes: &mut Vec<Node>, connector: Connector, node: Node) {
    match nodes.pop() {
        Some(Node::Chain { first, mut rest }) => {
            rest.push((connector, node));
            nodes.push(Node::Chain { first, rest });
        }
        Some(first) => nodes.push(Node::Chain {
            first: Box::new(first),
            rest: vec![(connector, node)],
        }),
        // The grammar gives no operator without a command before it.
        None => nodes.push(node),
    }
}

fn redirection(operator: &str, descriptor: i32, target: &str) -> Option<&'static [Redirection]> {
    use Redirection::{DropErrors, DropOutput, ErrorsToOutput, NoInput, OutputToErrors};
    Some(match (operator, descriptor, target) {
        ("<", -1 | 0, "/dev/null") => &[NoInput],
        (">" | ">>" | ">|", -1 | 1, "/dev/null") => &[DropOutput],
        (">" | ">>" | ">|", 2, "/dev/null") => &[DropErrors],
        ("&>" | "&>>" | ">&", -1, "/dev/null") => &[DropOutput, DropErrors],
        (">&", 2, "1") => &[ErrorsToOutput],
        (">&", -1 | 1, "2") => &[OutputToErrors],
        (">&", -1 | 1, "1") | (">&", 2, "2") => &[],
        _ => return None,
    })
}

/// Built-in commands of bash 5.2 that are not here. A program of this name would not be run by bash either.
const MISSING_BUILTINS: &[&str] = &[
    ".",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "declare",
    "dirs",
    "disown",
    "enable",
    "eval",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "wait",
];
