//! One file as it was written: every key optional, unknown keys refused with the nearest right name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::declare::{Format, Section};
use crate::error::{Kind, Place, Problem, nearest_name, printable_name};
use crate::field::{At, Field, Value};
use crate::shared;
use crate::syntax;
use crate::text::Text;

/// A section of a file.
pub type Table<'t> = DeTable<'t>;

/// Reads a file's bytes; what could not be used is in the list of problems.
pub fn parse<F: Format>(file: &Arc<Path>, bytes: &[u8]) -> (F, Vec<Problem>) {
    match Text::decode(bytes) {
        Ok(text) => from_text(Some(file), &text),
        Err((line, kind)) => {
            let place = Place::File(Arc::clone(file), line);
            (
                F::default(),
                vec![Problem {
                    place,
                    key: String::new(),
                    kind,
                }],
            )
        }
    }
}

/// Reads the defaults of a format.
pub(crate) fn defaults<F: Format>() -> (F, Vec<Problem>) {
    let mut problems = Vec::new();
    let fragment = F::DEFAULTS.iter().fold(F::default(), |below, text| {
        let Ok(text) = Text::decode(text.as_bytes()) else {
            return below;
        };
        let (fragment, mut wrong) = from_text::<F>(None, &text);
        problems.append(&mut wrong);
        fragment.over(below)
    });
    (fragment, problems)
}

/// Reads text; without a file, its values are defaults.
fn from_text<F: Format>(file: Option<&Arc<Path>>, text: &Text) -> (F, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(text.as_str());
    let mut reader = Reader {
        file,
        text,
        problems: Vec::new(),
        bad_lines: BTreeSet::new(),
        is_ours: true,
    };
    for error in &errors {
        let (line, key, kind) = syntax::explain(text, error);
        if reader.bad_lines.contains(&line) {
            continue;
        }
        reader.bad_lines.insert(line);
        if matches!(kind, Kind::Duplicate | Kind::DuplicateSection { .. }) && text.is_header(line) {
            // The parser takes the keys below for keys of the first section of this name.
            reader.bad_lines.extend(text.below_header(line));
        }
        reader.problems.push(Problem {
            place: reader.place(line),
            key,
            kind,
        });
    }
    reader.refuse_unknown_sections::<F>(root.get_ref());
    let fragment = F::read(root.get_ref(), &mut reader);
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| match problem.place {
        Place::File(_, line) => line,
        Place::Default => None,
    });
    (fragment, problems)
}

/// Takes one file apart.
#[derive(Debug)]
pub struct Reader<'a> {
    file: Option<&'a Arc<Path>>,
    text: &'a Text,
    problems: Vec<Problem>,
    /// Lines that were reported already; what is left of them is guesswork.
    bad_lines: BTreeSet<usize>,
    /// Whether what is wrong is ours to report.
    is_ours: bool,
}

impl Reader<'_> {
    /// A section that a file has once.
    pub fn section<S: Section>(&mut self, root: &Table<'_>, name: &'static str) -> S {
        let Some(value) = root.get(name) else {
            return S::default();
        };
        match value.get_ref().as_table() {
            Some(table) => self.keys(name, table),
            None => {
                self.report(
                    value.span().start,
                    name.to_owned(),
                    Kind::NotASection { section: name },
                );
                S::default()
            }
        }
    }

    /// A section that a file may have several times: `[name]` once, or `[[name]]` for each.
    pub fn list<S: Section>(&mut self, root: &Table<'_>, name: &'static str) -> Vec<At<S>> {
        let Some(value) = root.get(name) else {
            return Vec::new();
        };
        let items = value.get_ref().as_array().map_or_else(
            || vec![value],
            |items| items.iter().collect::<Vec<&Spanned<DeValue<'_>>>>(),
        );
        let mut list = Vec::new();
        for item in items {
            let start = item.span().start;
            match item.get_ref().as_table() {
                // As in a template where nothing is in use yet.
                Some(table) if table.is_empty() => {}
                Some(table) => list.push(At {
                    value: self.keys(name, table),
                    place: self.place(self.text.line_of(start)),
                }),
                None => self.report(start, name.to_owned(), Kind::NotASection { section: name }),
            }
        }
        list
    }

    /// Some keys of a section that another program reads, and reports.
    pub fn part<S: Section>(&mut self, root: &Table<'_>, name: &'static str) -> S {
        self.is_ours = false;
        let table = root.get(name).and_then(|value| value.get_ref().as_table());
        let part = table.map_or_else(S::default, |table| S::read(name, table, self));
        self.is_ours = true;
        part
    }

    /// One key of a section.
    pub fn field<T: Value>(
        &mut self,
        section: &str,
        key: &str,
        table: &Table<'_>,
        example: &str,
    ) -> Field<T> {
        let Some(value) = table.get(key) else {
            return Field::Absent;
        };
        let line = self.text.line_of(value.span().start);
        if let Some(read) = T::read(value.get_ref()).filter(|_| !self.bad_lines.contains(&line)) {
            return Field::Given(At {
                value: read,
                place: self.place(line),
            });
        }
        if !self.is_ours {
            return Field::Absent;
        }
        let kind = Kind::WrongType {
            expected: T::EXPECTED,
            example: format!("{key} = {example}"),
        };
        self.report(value.span().start, format!("{section}.{key}"), kind);
        Field::Wrong
    }

    fn keys<S: Section>(&mut self, name: &'static str, table: &Table<'_>) -> S {
        for key in table.keys() {
            if !S::KEYS.contains(&key.get_ref().as_ref()) {
                let kind = Kind::UnknownKey {
                    nearest: nearest_name(key.get_ref(), S::KEYS.iter().copied()),
                };
                let printable = format!("{name}.{}", printable_name(key.get_ref()));
                self.report(key.span().start, printable, kind);
            }
        }
        S::read(name, table, self)
    }

    fn refuse_unknown_sections<F: Format>(&mut self, root: &Table<'_>) {
        let names = F::SECTIONS.iter().map(|(name, _)| *name);
        let known = || names.clone().chain(F::OTHERS.iter().copied());
        for (name, value) in root {
            if known().any(|section| section == name.get_ref()) {
                continue;
            }
            let kind = if value.get_ref().is_table() {
                Kind::UnknownSection {
                    nearest: nearest_name(name.get_ref(), known()),
                }
            } else {
                let owner = F::SECTIONS
                    .iter()
                    .find(|(_, keys)| keys.contains(&name.get_ref().as_ref()));
                Kind::OutsideSection {
                    section: owner.map_or(shared::FIRST_SECTION, |(section, _)| section),
                }
            };
            self.report(name.span().start, printable_name(name.get_ref()), kind);
        }
    }

    fn place(&self, line: usize) -> Place {
        self.file
            .map_or(Place::Default, |file| Place::File(Arc::clone(file), Some(line)))
    }

    fn report(&mut self, offset: usize, key: String, kind: Kind) {
        let line = self.text.line_of(offset);
        if !self.bad_lines.contains(&line) {
            self.problems.push(Problem {
                place: self.place(line),
                key,
                kind,
            });
        }
    }
}
