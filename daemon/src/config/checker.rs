//! One value at a time: is it there, is it of the right form, and what to say when it is not.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use spotstream_core::secret::Secret;

use super::choice::Choice;
use super::error::{Kind, Place, Problem, nearest_name};
use super::fragment::{At, Field};
use super::merged::Merged;

const HOSTS: (&str, &str) = ("a list of IP addresses, without ports", "[\"192.168.50.3\"]");

/// Finds what is wrong with values, one key after the other.
pub(super) struct Checker<'a> {
    pub(super) merged: &'a Merged,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// A file could not be understood as a whole, so what seems to be missing may stand there.
    pub(super) may_miss: bool,
}

impl Checker<'_> {
    pub(super) fn problem(&mut self, place: &Place, key: &str, kind: Kind) {
        self.problems.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            kind,
        });
    }

    pub(super) fn warn(&mut self, place: &Place, key: &str, sentence: &'static str) {
        self.warnings.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            kind: Kind::Advice { sentence },
        });
    }

    pub(super) fn required<'f, T>(
        &mut self,
        key: &str,
        field: &'f Field<T>,
        how: &'static str,
    ) -> Option<&'f At<T>> {
        match field {
            Field::Given(at) => Some(at),
            Field::Wrong => None,
            Field::Absent => {
                if !self.may_miss {
                    let place = Place::File(Arc::clone(&self.merged.main_file), None);
                    self.problem(&place, key, Kind::Missing { how });
                }
                None
            }
        }
    }

    pub(super) fn not_empty(&mut self, key: &str, at: &At<String>, how: &'static str) -> bool {
        if at.value.is_empty() {
            self.problem(&at.place, key, Kind::Empty { how });
        }
        !at.value.is_empty()
    }

    pub(super) fn secret(&mut self, key: &str, field: &Field<Secret>, how: &'static str) -> Option<Secret> {
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

    pub(super) fn text<T>(
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

    pub(super) fn choice<T: Choice>(&mut self, key: &str, field: &Field<String>) -> Option<T> {
        let Field::Given(at) = field else { return None };
        let choice = T::from_word(&at.value);
        if choice.is_none() {
            let words = T::WORDS.iter().map(|(word, _)| *word);
            let choices = words
                .clone()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(", ");
            let nearest = nearest_name(&at.value, words);
            self.problem(&at.place, key, Kind::NotAChoice { choices, nearest });
        }
        choice
    }

    pub(super) fn number(
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

    pub(super) fn port(&mut self, key: &str, field: &Field<u64>) -> Option<u16> {
        self.number(key, field, 1, 65535, "(a TCP port)")
            .and_then(|port| u16::try_from(port).ok())
    }

    pub(super) fn hosts(&mut self, key: &str, field: &Field<Vec<String>>) -> Option<Vec<IpAddr>> {
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

pub(super) fn given<T: Copy>(field: &Field<T>) -> Option<T> {
    match field {
        Field::Given(at) => Some(at.value),
        Field::Absent | Field::Wrong => None,
    }
}

pub(super) fn place<T>(field: &Field<T>) -> Option<&Place> {
    match field {
        Field::Given(at) => Some(&at.place),
        Field::Absent | Field::Wrong => None,
    }
}

pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && !text.chars().any(char::is_control)).then(|| PathBuf::from(text))
}

pub(super) fn printable(text: &str) -> Option<String> {
    let fits = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
