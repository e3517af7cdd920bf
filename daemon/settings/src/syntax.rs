//! A TOML parser's complaint in words for somebody who has never heard of TOML.

use toml::de::Error;

use crate::error::{Kind, printable_name};
use crate::shared;
use crate::text::Text;

/// The line, the key if it is known, and what is wrong. The text of the line is looked at and never repeated.
pub(crate) fn explain(text: &Text, error: &Error) -> (usize, String, Kind) {
    let span = error.span().unwrap_or_default();
    let line = text.line_of(span.start);
    if error.message() == "duplicate key" {
        let name = text.as_str().get(span).unwrap_or_default().trim();
        let is_header = text.is_header(line);
        let repeatable = shared::REPEATABLE
            .iter()
            .find(|section| is_header && **section == name);
        let kind = repeatable.map_or(Kind::Duplicate, |section| Kind::DuplicateSection { section });
        return (line, printable_name(name), kind);
    }
    (
        line,
        String::new(),
        Kind::Syntax {
            hint: hint(text.line(line), error.message()),
        },
    )
}

fn hint(line: &str, message: &str) -> String {
    let before_quotes = line.split(['"', '\'']).next().unwrap_or_default();
    if line.contains([
        '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}', '\u{bb}',
    ]) {
        "it has typographic quotes; write straight ones: key = \"value\"".to_owned()
    } else if before_quotes.contains(':') && !before_quotes.contains('=') {
        "write '=' instead of ':' between key and value: key = \"value\"".to_owned()
    } else if message.starts_with("string values must be quoted") {
        "write text in quotes: key = \"value\"".to_owned()
    } else if line.contains('\\') {
        "a backslash in quotes must be written twice: \"\\\\\"".to_owned()
    } else if line.trim_start().starts_with('[') {
        "a section is a name in brackets: [stream]".to_owned()
    } else if line.matches('"').count() % 2 == 1 {
        "a quote is missing: key = \"value\"".to_owned()
    } else if !line.contains('=') {
        "write a key and its value as: key = \"value\"".to_owned()
    } else {
        message.to_owned()
    }
}
