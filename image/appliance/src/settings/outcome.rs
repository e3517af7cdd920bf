//! What became of a settings file, for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The FAT partition of the card that we booted from.
    Card,
    /// A USB stick labelled SPOTCONF.
    Stick,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Card => "the card",
            Self::Stick => "the USB stick",
        })
    }
}

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// The line, counted from 1; none when the file as a whole is meant.
    pub line: Option<usize>,
    /// `section.key`; empty when it is not known.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub sentence: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.sentence)
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Nothing was looked at yet.
    #[default]
    Pending,
    /// There is no file.
    Absent,
    /// The file sets nothing.
    Empty,
    /// The file is the one that was applied before.
    Unchanged,
    /// The file holds now.
    Applied,
    /// What was stored is forgotten, and nothing new holds.
    Forgotten,
    /// The file is wrong; the former settings stay.
    Wrong,
    /// The card, the data partition or a program stood in the way.
    Failed,
}

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// How it went.
    pub what: What,
    /// Where the file came from.
    pub source: Option<Source>,
    /// The name of the file.
    pub file: String,
    /// What is wrong in it, or why it failed.
    pub complaints: Vec<Complaint>,
    /// What works, but somebody may want to know.
    pub notes: Vec<String>,
}

impl Outcome {
    /// One sentence, without a full stop.
    pub fn sentence(&self) -> String {
        let source = self.source.unwrap_or(Source::Card);
        let file = &self.file;
        match self.what {
            What::Pending => "the settings file has not been looked at yet".to_owned(),
            What::Absent => {
                format!("there is no spotstream.toml on {source}; the settings of before hold")
            }
            What::Empty => format!(
                "'{file}' on {source} sets nothing yet: take away the '#' before the lines that you need and fill them in"
            ),
            What::Unchanged => format!("'{file}' on {source} has not changed since it was applied"),
            What::Applied => format!("'{file}' on {source} was applied"),
            What::Forgotten => {
                format!("all stored settings were removed, as '{file}' on {source} asks for")
            }
            What::Wrong => {
                let first = self.complaints.first();
                let first = first.map_or_else(String::new, |first| format!(": {first}"));
                let more = match self.complaints.len() {
                    0 | 1 => String::new(),
                    count => format!(" (and {} more)", count - 1),
                };
                format!("'{file}' on {source} is wrong and was not applied{first}{more}")
            }
            What::Failed => {
                let why: Vec<&str> = self
                    .complaints
                    .iter()
                    .map(|complaint| complaint.sentence.as_str())
                    .collect();
                format!(
                    "the settings of {source} could not be taken over: {}",
                    why.join("; ")
                )
            }
        }
    }

    /// Whether the programs must read their settings again.
    pub fn has_changed_settings(&self) -> bool {
        matches!(self.what, What::Applied | What::Forgotten)
    }

    /// Whether a person must know before anything else.
    pub fn is_problem(&self) -> bool {
        matches!(self.what, What::Wrong | What::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_named_with_its_line() {
        let complaint = |line, key: &str, sentence: &str| Complaint {
            line,
            key: key.to_owned(),
            sentence: sentence.to_owned(),
        };
        let outcome = Outcome {
            what: What::Wrong,
            source: Some(Source::Card),
            file: "spotstream.toml".to_owned(),
            complaints: vec![
                complaint(Some(3), "stream.kee", "there is no such key; did you mean 'key'?"),
                complaint(None, "stream.key", "it is missing"),
            ],
            notes: Vec::new(),
        };
        assert_eq!(
            outcome.sentence(),
            "'spotstream.toml' on the card is wrong and was not applied: line 3: stream.kee: there is no such key; did \
             you mean 'key'? (and 1 more)"
        );
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
    }
}
