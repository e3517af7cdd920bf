//! One value at a time: is it there, is it of the right form, and what to say when it is not.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spotstream_core::secret::Secret;

use crate::error::{Kind, Place, Problem, nearest_name};
use crate::field::{At, Field};

const HOSTS: (&str, &str) = ("a list of IP addresses, without ports", "[\"192.168.50.3\"]");

/// Finds what is wrong with values, one key after the other.
#[derive(Clone, Debug)]
pub struct Checker {
    /// What stands against the settings.
    pub problems: Vec<Problem>,
    /// What works, but could be better.
    pub warnings: Vec<Problem>,
    /// Where a person would write a missing key.
    section: Place,
    /// A file could not be understood as a whole, so what seems to be missing may stand there.
    may_miss: bool,
}

impl Checker {
    pub(crate) fn new(main_file: Arc<Path>, may_miss: bool) -> Self {
        Self {
            problems: Vec::new(),
            warnings: Vec::new(),
            section: Place::File(main_file, None),
            may_miss,
        }
    }

    /// Goes on with a section that starts at `place`: a key that is missing is missing there.
    pub fn enter(&mut self, place: &Place) {
        self.section = place.clone();
    }

    /// Reports that a key is not there; `how` says what to write.
    pub fn missing(&mut self, key: &str, how: &'static str) {
        if !self.may_miss {
            let place = self.section.clone();
            self.problem(&place, key, Kind::Missing { how });
        }
    }

    /// Reports a problem with a key.
    pub fn problem(&mut self, place: &Place, key: &str, kind: Kind) {
        self.problems.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            kind,
        });
    }

    /// Says what works, but could be better.
    pub fn warn(&mut self, place: &Place, key: &str, sentence: &'static str) {
        self.warnings.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            kind: Kind::Advice { sentence },
        });
    }

    /// A value that must be there; `how` says what to write.
    pub fn required<'f, T>(
        &mut self,
        key: &str,
        field: &'f Field<T>,
        how: &'static str,
    ) -> Option<&'f At<T>> {
        match field {
            Field::Given(at) => Some(at),
            Field::Wrong => None,
            Field::Absent => {
                self.missing(key, how);
                None
            }
        }
    }

    /// Whether there is anything in a value.
    pub fn not_empty(&mut self, key: &str, at: &At<String>, how: &'static str) -> bool {
        if at.value.is_empty() {
            self.problem(&at.place, key, Kind::Empty { how });
        }
        !at.value.is_empty()
    }

    /// A secret of one line that must be there; it is never repeated.
    pub fn secret(&mut self, key: &str, field: &Field<Secret>, how: &'static str) -> Option<Secret> {
        let at = self.required(key, field, how)?;
        if at.value.is_empty() {
            self.problem(&at.place, key, Kind::Empty { how });
            return None;
        }
        if at.value.reveal().chars().any(char::is_control) {
            let kind = Kind::Malformed {
                expected: "one line of text",
                example: "\"...\"",
            };
            self.problem(&at.place, key, kind);
            return None;
        }
        Some(at.value.clone())
    }

    /// A text of the form that `parse` takes; (what is expected, an example) otherwise.
    pub fn text<T>(
        &mut self,
        key: &str,
        field: &Field<String>,
        (expected, example): (&'static str, &'static str),
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Field::Given(at) = field else { return None };
        let parsed = parse(&at.value);
        if parsed.is_none() {
            self.problem(&at.place, key, Kind::Malformed { expected, example });
        }
        parsed
    }

    /// One of a few words, and what it means.
    pub fn choice<T: Copy>(
        &mut self,
        key: &str,
        field: &Field<String>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let Field::Given(at) = field else { return None };
        self.word(key, &at.place, &at.value, words)
    }

    /// One of a few words, and what it means; `usual` where nothing is written.
    pub fn choice_or<T: Copy>(
        &mut self,
        key: &str,
        field: &Field<String>,
        words: &[(&'static str, T)],
        usual: T,
    ) -> Option<T> {
        if field.is_written() {
            self.choice(key, field, words)
        } else {
            Some(usual)
        }
    }

    /// One or more of a few words, in any order; none is right, too.
    pub fn choices<T: Copy>(
        &mut self,
        key: &str,
        field: &Field<Vec<String>>,
        words: &[(&'static str, T)],
    ) -> Option<Vec<T>> {
        let Field::Given(at) = field else { return None };
        at.value
            .iter()
            .map(|word| self.word(key, &at.place, word, words))
            .collect()
    }

    fn word<T: Copy>(
        &mut self,
        key: &str,
        place: &Place,
        given: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let choice = words
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, choice)| *choice);
        if choice.is_none() {
            let words = words.iter().map(|(word, _)| *word);
            let choices = words
                .clone()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(", ");
            let nearest = nearest_name(given, words);
            self.problem(place, key, Kind::NotAChoice { choices, nearest });
        }
        choice
    }

    /// A number from `least` to `most`.
    pub fn number(
        &mut self,
        key: &str,
        field: &Field<u64>,
        least: u64,
        most: u64,
        unit: &'static str,
    ) -> Option<u64> {
        let Field::Given(at) = field else { return None };
        let fits = (least..=most).contains(&at.value);
        if !fits {
            self.problem(&at.place, key, Kind::OutOfRange { least, most, unit });
        }
        fits.then_some(at.value)
    }

    /// A TCP port.
    pub fn port(&mut self, key: &str, field: &Field<u64>) -> Option<u16> {
        self.number(key, field, 1, 65535, "(a TCP port)")
            .and_then(|port| u16::try_from(port).ok())
    }

    /// One address at least.
    pub fn hosts(&mut self, key: &str, field: &Field<Vec<String>>) -> Option<Vec<IpAddr>> {
        let Field::Given(at) = field else { return None };
        let hosts: Option<Vec<IpAddr>> = at.value.iter().map(|host| host.parse().ok()).collect();
        let hosts = hosts.filter(|hosts| !hosts.is_empty());
        if hosts.is_none() {
            self.problem(
                &at.place,
                key,
                Kind::Malformed {
                    expected: HOSTS.0,
                    example: HOSTS.1,
                },
            );
        }
        hosts
    }
}

/// A path that begins with a slash.
pub fn absolute(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && !text.chars().any(char::is_control)).then(|| PathBuf::from(text))
}

/// A name of 1 to 64 printable characters.
pub fn printable(text: &str) -> Option<String> {
    let fits = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
