//! The image's lists: one entry a line, `#` starts a comment.

use std::fs;
use std::path::Path;

use crate::error::{Error, OnFile, Result};

/// A line of a list that is neither empty nor a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file, as it is named in the tree.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The line before its comment, trimmed.
    pub text: String,
    /// The comment at its end, or else the nearest whole-line comment above it in the same paragraph.
    pub comment: String,
}

impl Entry {
    /// An error that names this line.
    #[must_use]
    pub fn wrong(&self, why: impl Into<String>) -> Error {
        Error::Line {
            file: self.file.clone(),
            line: self.line,
            why: why.into(),
        }
    }
}

/// Reads the list at `path`, which is named `file` in messages.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path, file: &str) -> Result<Vec<Entry>> {
    Ok(parse(&fs::read_to_string(path).on("read", path)?, file))
}

/// The entries of `text`.
#[must_use]
pub fn parse(text: &str, file: &str) -> Vec<Entry> {
    let mut above = String::new();
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (before, comment) = match line.split_once('#') {
            Some((before, comment)) => (before.trim(), Some(comment.trim().to_owned())),
            None => (line.trim(), None),
        };
        match (before.is_empty(), comment) {
            (true, Some(comment)) => above = comment,
            (true, None) => above.clear(),
            (false, comment) => entries.push(Entry {
                file: file.to_owned(),
                line: index + 1,
                text: before.to_owned(),
                comment: comment.unwrap_or_else(|| above.clone()),
            }),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stands_for_its_line_or_for_the_paragraph_below_it() {
        let entries = parse("# shells\ndash\nbash # for people\n\nkmod\n", "list");
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.line, e.text.as_str(), e.comment.as_str()))
            .collect();
        assert_eq!(
            seen,
            [(2, "dash", "shells"), (3, "bash", "for people"), (5, "kmod", "")]
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        let why = parse("\nx", "image/prune")[0].wrong("needs a reason").to_string();
        assert_eq!(why, "image/prune, line 2: needs a reason");
    }
}
