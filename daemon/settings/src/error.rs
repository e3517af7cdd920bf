//! What is wrong in a settings file: where, which key, and a sentence that says what to write instead.
//!
//! No value from the file is ever repeated, because people paste stream keys into the wrong line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::shared;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is the default.
    Default,
    /// In a file, at a line counted from 1; no line when the whole file is meant.
    File(Arc<Path>, Option<usize>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, None) => write!(f, "{}", file.display()),
            Self::File(file, Some(line)) => write!(f, "{}:{line}", file.display()),
        }
    }
}

/// One thing that is wrong, or that a person should know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// `section.key`, empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub kind: Kind,
}

impl Problem {
    /// The stable word of the kind, for status and tests.
    pub fn kind(&self) -> &'static str {
        self.kind.word()
    }

    /// Reading the same file again brings the same problem, unless it could not be read at all.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, Kind::Unreadable { .. })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The stable word that stands for all of them in status.
    pub const fn kind(&self) -> &'static str {
        "settings"
    }

    /// Whether reading again may help.
    pub fn is_retryable(&self) -> bool {
        self.0.iter().all(Problem::is_retryable)
    }

    /// In the order in which a person meets them: files as they come, each from top to bottom, and what is missing in
    /// it last.
    pub(crate) fn in_order(mut problems: Vec<Problem>) -> Self {
        let mut files: Vec<Arc<Path>> = Vec::new();
        for problem in &problems {
            if let Place::File(file, _) = &problem.place
                && !files.contains(file)
            {
                files.push(Arc::clone(file));
            }
        }
        problems.sort_by_key(|problem| match &problem.place {
            Place::Default => (0, 0),
            Place::File(file, line) => {
                let file = files
                    .iter()
                    .position(|known| known == file)
                    .unwrap_or(files.len());
                (file + 1, line.unwrap_or(usize::MAX))
            }
        });
        Self(problems)
    }

    /// What several programs say about the same files, each thing once.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        let mut all = self.0;
        for other in others.0 {
            let same = all.iter_mut().find(|known| {
                (&known.place, &known.key, known.kind()) == (&other.place, &other.key, other.kind())
            });
            match same {
                None => all.push(other),
                // Who does not know a key sends it to the first section; whose it is knows better.
                Some(known) if known.kind.is_guess() => *known = other,
                Some(_) => {}
            }
        }
        Self::in_order(all)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is wrong with a place, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// The file exists and cannot be read.
    #[error("failed to read the file: {reason}")]
    Unreadable {
        /// What the operating system says.
        reason: String,
    },
    /// Windows' Notepad writes UTF-16 when asked for "Unicode".
    #[error("the file is saved as UTF-16; save it again as UTF-8 (in Notepad: Save As, Encoding, UTF-8)")]
    Utf16,
    /// Bytes that are no UTF-8.
    #[error("the line has a character that is not UTF-8; save the file again with the encoding UTF-8")]
    NotUtf8,
    /// Larger than any settings file.
    #[error("the file is larger than {limit_kib} KiB, so it is not a settings file")]
    TooLarge {
        /// The largest size that is read, in KiB.
        limit_kib: u64,
    },
    /// Not TOML.
    #[error("the line cannot be understood: {hint}")]
    Syntax {
        /// What the parser wanted, or what people usually got wrong; without the text of the line.
        hint: String,
    },
    /// A key or section that was there before.
    #[error("it is written twice in this file; keep one of them")]
    Duplicate,
    /// A section that may be repeated was repeated like one that may not.
    #[error(
        "it is written twice in this file; for several of them write [[{section}]] in the line above each"
    )]
    DuplicateSection {
        /// The name of the section.
        section: &'static str,
    },
    /// A section that nobody reads.
    #[error("there is no such section{}", suggestion(.nearest.as_deref()))]
    UnknownSection {
        /// The right name that it resembles.
        nearest: Option<String>,
    },
    /// A key that nobody reads.
    #[error("there is no such key{}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// The right name that it resembles.
        nearest: Option<String>,
    },
    /// A key before the first section.
    #[error("it stands outside of a section; write [{section}] in a line above it")]
    OutsideSection {
        /// The section that has such a key, or the section to begin with.
        section: &'static str,
    },
    /// A plain value where a section belongs.
    #[error("it is a section: write [{section}] in a line of its own, and its keys below")]
    NotASection {
        /// The name of the section.
        section: &'static str,
    },
    /// A value of another type.
    #[error("the value must be {expected}, for example: {example}")]
    WrongType {
        /// The type in words.
        expected: &'static str,
        /// A line that would be right.
        example: String,
    },
    /// A required key is not there.
    #[error("it is missing; {how}")]
    Missing {
        /// What to write, and where to find it.
        how: &'static str,
    },
    /// The value is empty.
    #[error("the value is empty; {how}")]
    Empty {
        /// What to write, and where to find it.
        how: &'static str,
    },
    /// Not one of a few words.
    #[error("the value must be one of {choices}{}", suggestion(.nearest.as_deref()))]
    NotAChoice {
        /// The words, quoted.
        choices: String,
        /// The right word that it resembles.
        nearest: Option<String>,
    },
    /// A number outside of what works.
    #[error("the value must be between {least} and {most} {unit}")]
    OutOfRange {
        /// The least that works.
        least: u64,
        /// The most that works.
        most: u64,
        /// The unit in words.
        unit: &'static str,
    },
    /// A text of another form.
    #[error("the value must be {expected}, for example: {example}")]
    Malformed {
        /// The form in words.
        expected: &'static str,
        /// A value that would be right.
        example: &'static str,
    },
    /// Two keys that exclude each other, or one without which the other means nothing.
    #[error("{sentence}")]
    Conflict {
        /// What excludes what, and what to do.
        sentence: &'static str,
    },
    /// It works, but somebody will want to know.
    #[error("{sentence}")]
    Advice {
        /// What will happen, and what would be better.
        sentence: &'static str,
    },
}

impl Kind {
    fn is_guess(&self) -> bool {
        matches!(self, Self::OutsideSection { section } if *section == shared::FIRST_SECTION)
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Utf16 => "utf-16",
            Self::NotUtf8 => "not-utf-8",
            Self::TooLarge { .. } => "too-large",
            Self::Syntax { .. } => "syntax",
            Self::Duplicate => "duplicate",
            Self::DuplicateSection { .. } => "duplicate-section",
            Self::UnknownSection { .. } => "unknown-section",
            Self::UnknownKey { .. } => "unknown-key",
            Self::OutsideSection { .. } => "outside-section",
            Self::NotASection { .. } => "not-a-section",
            Self::WrongType { .. } => "wrong-type",
            Self::Missing { .. } => "missing",
            Self::Empty { .. } => "empty",
            Self::NotAChoice { .. } => "not-a-choice",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Malformed { .. } => "malformed",
            Self::Conflict { .. } => "conflict",
            Self::Advice { .. } => "advice",
        }
    }
}

fn suggestion(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// The name that `given` was most likely meant to be.
pub fn nearest_name<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, name), name))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}

/// A name as it may be repeated to a person: what could be a pasted secret is not.
pub fn printable_name(name: &str) -> String {
    let plain = name.len() <= 32
        && name
            .chars()
            .all(|c| c.is_ascii_alphabetic() || c == '_' || c == '-');
    if plain && !name.is_empty() {
        name.to_owned()
    } else {
        "(unprintable name)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(line: usize, key: &str, section: &'static str) -> Problem {
        Problem {
            place: Place::File(Arc::from(Path::new("spotstream.toml")), Some(line)),
            key: key.to_owned(),
            kind: Kind::OutsideSection { section },
        }
    }

    #[test]
    fn what_two_programs_say_is_said_once_from_top_to_bottom() {
        let daemon = Problems(vec![
            outside(1, "ssid", "stream"),
            outside(2, "port", "robot"),
            outside(4, "zzz", "stream"),
        ]);
        let netsetup = Problems(vec![
            outside(3, "layout", "network"),
            outside(1, "ssid", "wifi"),
            outside(2, "port", "stream"),
            outside(4, "zzz", "stream"),
        ]);
        let expected = [
            outside(1, "ssid", "wifi"),
            outside(2, "port", "robot"),
            outside(3, "layout", "network"),
            outside(4, "zzz", "stream"),
        ];
        assert_eq!(daemon.clone().and(netsetup.clone()).0, expected);
        assert_eq!(netsetup.and(daemon).0, expected);
    }

    #[test]
    fn what_is_missing_in_a_file_comes_last() {
        let missing = Problem {
            place: Place::File(Arc::from(Path::new("spotstream.toml")), None),
            ..outside(1, "key", "stream")
        };
        let ordered = Problems::in_order(vec![missing.clone(), outside(2, "port", "robot")]);
        assert_eq!(ordered.0, [outside(2, "port", "robot"), missing]);
    }
}
