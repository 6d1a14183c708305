//! Reads the statements of a migration: enough of the language to know where one ends and which words it is made of.

use std::{iter::Peekable, str::Chars};

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Line of its first word, from 1.
    pub(super) line: usize,
    /// The lines of comment before it, after the statement before.
    pub(super) comments: Vec<String>,
    /// Keywords and plain names in capitals, quoted names as they are, punctuation by itself, strings as [`STRING`].
    pub(super) words: Vec<String>,
}

/// Stands for a string, whatever it says.
pub(super) const STRING: &str = "''";

/// The statements of a script, in order.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut statements = Vec::new();
    let mut next = Statement { line: 1, comments: Vec::new(), words: Vec::new() };
    while let Some(piece) = reader.piece() {
        match piece {
            Piece::Comment(text) if next.words.is_empty() => next.comments.push(text),
            // Inside a statement it explains a part of it.
            Piece::Comment(_) => {}
            Piece::Word(word) if word == ";" => {
                if !next.words.is_empty() {
                    statements.push(next);
                }
                next = Statement { line: reader.line, comments: Vec::new(), words: Vec::new() };
            }
            Piece::Word(word) => {
                if next.words.is_empty() {
                    next.line = reader.line;
                }
                next.words.push(word);
            }
        }
    }
    if !next.words.is_empty() {
        statements.push(next);
    }
    statements
}

enum Piece {
    Comment(String),
    Word(String),
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<char> {
        let taken = self.rest.next();
        if taken == Some('\n') {
            self.line = self.line.saturating_add(1);
        }
        taken
    }

    fn piece(&mut self) -> Option<Piece> {
        while self.rest.peek().is_some_and(|next| next.is_whitespace()) {
            self.take();
        }
        let first = self.take()?;
        Some(match first {
            '-' if self.rest.peek() == Some(&'-') => Piece::Comment(self.line_comment()),
            '/' if self.rest.peek() == Some(&'*') => Piece::Comment(self.block_comment()),
            '\'' => {
                self.quoted('\'');
                Piece::Word(STRING.to_owned())
            }
            '"' => Piece::Word(self.quoted('"')),
            '$' => {
                self.dollar_quoted();
                Piece::Word(STRING.to_owned())
            }
            letter if is_word(letter) => Piece::Word(self.word(letter)),
            other => Piece::Word(other.to_string()),
        })
    }

    fn line_comment(&mut self) -> String {
        let mut text = String::new();
        while self.rest.peek().is_some_and(|next| *next != '\n') {
            text.extend(self.take());
        }
        text.trim_start_matches('-').trim().to_owned()
    }

    fn block_comment(&mut self) -> String {
        let mut text = String::new();
        let mut depth = 1_usize;
        self.take();
        while let Some(taken) = self.take() {
            match (taken, self.rest.peek()) {
                ('/', Some('*')) => depth = depth.saturating_add(1),
                ('*', Some('/')) => depth = depth.saturating_sub(1),
                _ => {
                    text.push(taken);
                    continue;
                }
            }
            self.take();
            if depth == 0 {
                break;
            }
        }
        text.trim().to_owned()
    }

    /// The rest of what a quote began; two quotes in it stand for one.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(taken) = self.take() {
            if taken == quote {
                if self.rest.peek() != Some(&quote) {
                    break;
                }
                self.take();
            }
            text.push(taken);
        }
        text
    }

    /// The rest of `$tag$ … $tag$`.
    fn dollar_quoted(&mut self) {
        let mut tag = String::from("$");
        while let Some(taken) = self.take() {
            tag.push(taken);
            if taken == '$' {
                break;
            }
        }
        let mut text = String::new();
        while let Some(taken) = self.take() {
            text.push(taken);
            if text.ends_with(&tag) {
                break;
            }
        }
    }

    fn word(&mut self, first: char) -> String {
        let mut word = first.to_string();
        while self.rest.peek().is_some_and(|next| is_word(*next) || *next == '.') {
            word.extend(self.take());
        }
        word.to_uppercase()
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_of_their_own() {
        let script = "-- first\nSELECT ';', \"a;b\", $body$ ; $body$; /* second\n; */\n\nDROP TABLE x -- not ;\n;";
        let found = statements(script);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].comments, ["first"]);
        assert_eq!(found[0].words, ["SELECT", STRING, ",", "a;b", ",", STRING]);
        assert_eq!((found[1].line, found[1].comments.as_slice()), (5, ["second\n;".to_owned()].as_slice()));
        assert_eq!(found[1].words, ["DROP", "TABLE", "X"]);
    }
}
