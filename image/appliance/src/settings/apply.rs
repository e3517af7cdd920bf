//! Takes a settings file over, step by step.
//!
//! The order is the promise: everything is on the data partition before a secret leaves the card. After a cut the next
//! import finds either the old file with its secrets, and does it all again, or nothing left to do.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::check::Checker;
use super::document::Settings;
use super::outcome::{Complaint, Outcome, Source, What};
use super::plan::{Candidate, Last, Plan, plan};
use super::text::{LIMIT_BYTES, decode};
use crate::place::{AUTHORIZED_KEYS, CARD, DROP_INS, FILES, MEMORY, SETTINGS};
use crate::storage::{Access, Storage, replace};

/// The names that are looked for; Windows hides the last ending, so that people make the second one.
pub const NAMES: [&str; 2] = ["spotstream.toml", "spotstream.toml.txt"];
/// The settings as the image comes with them.
const TEMPLATE: &str = "/usr/share/spotstream/spotstream.toml";

type Remembered = BTreeMap<Source, Last>;

/// Takes over the file on the card or stick that is mounted at [`CARD`].
pub fn apply(storage: &mut dyn Storage, checker: &dyn Checker, source: Source) -> Outcome {
    let mut outcome = Outcome {
        source: Some(source),
        ..Outcome::default()
    };
    let mut import = Import { storage, source };
    if let Err(failure) = import.run(checker, &mut outcome) {
        outcome.what = What::Failed;
        outcome.complaints = vec![Complaint {
            line: None,
            key: String::new(),
            sentence: failure.to_string(),
        }];
    }
    outcome
}

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to read the card: {0}; have a PC check it for errors, or take another card")]
    Card(io::Error),
    #[error("failed to write to the data partition: {0}; if this comes again, take another card")]
    Data(io::Error),
    #[error("failed to check the settings: {0}; if this comes again, write the image to the card anew")]
    Checker(#[from] crate::tool::Error),
}

struct Import<'a> {
    storage: &'a mut dyn Storage,
    source: Source,
}

impl Import<'_> {
    fn run(&mut self, checker: &dyn Checker, outcome: &mut Outcome) -> Result<(), Failure> {
        let stored = self.storage.read(Path::new(SETTINGS)).map_err(Failure::Data)?;
        let stored = stored.and_then(|bytes| decode(&bytes).ok()).unwrap_or_default();
        let remembered = self.remembered();
        let last = remembered.get(&self.source).cloned().unwrap_or_default();
        let Some((name, text, plan)) = self.choose(&stored, &last, outcome)? else {
            return Ok(());
        };
        outcome.file = name.to_owned();
        match plan {
            Plan::Empty => outcome.what = What::Empty,
            Plan::Unchanged => outcome.what = What::Unchanged,
            Plan::Wrong(complaints) => (outcome.what, outcome.complaints) = (What::Wrong, complaints),
            Plan::NoToml => {
                outcome.what = What::Wrong;
                outcome.complaints = checker.check(&text)?.err().unwrap_or_default();
            }
            Plan::Blank { blanked, files } => {
                outcome.what = What::Unchanged;
                self.take_off(name, &text, &blanked, &files, remembered, outcome)?;
            }
            Plan::Forget { blanked } => {
                self.forget().map_err(Failure::Data)?;
                let template = self.storage.read(Path::new(TEMPLATE)).ok().flatten();
                match template {
                    Some(template) => replace(self.storage, Path::new(SETTINGS), &template, Access::Programs),
                    None => self.storage.remove(Path::new(SETTINGS)),
                }
                .and_then(|()| self.storage.sync_all(Path::new(FOLDER)))
                .map_err(Failure::Data)?;
                outcome.what = What::Forgotten;
                self.take_off(name, &text, &blanked, &[], Remembered::new(), outcome)?;
            }
            Plan::Apply(candidate) => {
                self.candidate(name, &text, *candidate, checker, remembered, outcome)?
            }
        }
        Ok(())
    }

    /// The file that says something; of two files the one that is news.
    fn choose(
        &self,
        stored: &str,
        last: &Last,
        outcome: &mut Outcome,
    ) -> Result<Option<(&'static str, String, Plan)>, Failure> {
        let mut found = Vec::new();
        for name in NAMES {
            let bytes = self.storage.read(&on_card(name)).map_err(Failure::Card)?;
            let Some(bytes) = bytes else { continue };
            found.push(match decode(&bytes) {
                Ok(text) => {
                    let mut decided = plan(&text, stored, last);
                    let is_known = matches!(decided, Plan::Unchanged | Plan::Blank { .. });
                    if is_known && self.has_new_files(&text)? {
                        decided = plan(&text, stored, &Last::default());
                    }
                    (name, text, decided)
                }
                Err(error) => {
                    let complaint = Complaint {
                        line: error.line(),
                        key: String::new(),
                        sentence: error.to_string(),
                    };
                    (name, String::new(), Plan::Wrong(vec![complaint]))
                }
            });
        }
        let is_news = |plan: &Plan| !matches!(plan, Plan::Empty | Plan::Unchanged);
        let news: Vec<_> = found.iter().map(|(_, _, plan)| is_news(plan)).collect();
        if news == [true, true] {
            let [used, other] = NAMES;
            outcome.notes.push(format!(
                "'{other}' was not looked at, because there is a '{used}' beside it: delete one of them"
            ));
        }
        let at = news.iter().position(|news| *news).unwrap_or(0);
        outcome.what = if found.is_empty() {
            What::Absent
        } else {
            What::Pending
        };
        Ok(found.into_iter().nth(at))
    }

    /// A certificate that was replaced beside settings that were not.
    fn has_new_files(&self, text: &str) -> Result<bool, Failure> {
        let files = Settings::parse(text).map(|settings| settings.files());
        for (value, _) in files.unwrap_or_default() {
            let Some(name) = value.bare_name() else { continue };
            let there = self.storage.read(&on_card(name)).map_err(Failure::Card)?;
            let kept = self.storage.read(&in_files(name)).map_err(Failure::Data)?;
            if there.is_some() && there != kept {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn candidate(
        &mut self,
        name: &str,
        text: &str,
        candidate: Candidate,
        checker: &dyn Checker,
        mut remembered: Remembered,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut files = Vec::new();
        let mut lacking = Vec::new();
        for copy in &candidate.copies {
            let there = self.storage.read(&on_card(&copy.name)).map_err(Failure::Card)?;
            let kept = self.storage.read(&in_files(&copy.name)).map_err(Failure::Data)?;
            match (there, kept) {
                (Some(bytes), _) if u64::try_from(bytes.len()).is_ok_and(|length| length <= LIMIT_BYTES) => {
                    files.push((copy, bytes));
                }
                (Some(_), _) => lacking.push(Complaint {
                    line: Some(copy.line),
                    key: copy.key.clone(),
                    sentence: format!(
                        "the file '{}' is larger than {} KiB",
                        copy.name,
                        LIMIT_BYTES / 1024
                    ),
                }),
                (None, Some(_)) if !candidate.forgets => {}
                (None, _) => lacking.push(Complaint {
                    line: Some(copy.line),
                    key: copy.key.clone(),
                    sentence: format!(
                        "the file '{}' is not there; copy it beside spotstream.toml",
                        copy.name
                    ),
                }),
            }
        }
        match checker.check(&candidate.text)? {
            Ok(warnings) if lacking.is_empty() => {
                outcome
                    .notes
                    .extend(warnings.iter().map(|warning| warning.to_string()));
            }
            Ok(_) => return Ok((outcome.what, outcome.complaints) = (What::Wrong, lacking)),
            Err(wrong) => {
                outcome.what = What::Wrong;
                outcome.complaints = [wrong, lacking].concat();
                return Ok(());
            }
        }
        remembered.insert(self.source, candidate.last.clone());
        self.store(&candidate, &files, &remembered)
            .map_err(Failure::Data)?;
        outcome.what = What::Applied;
        let secret_files: Vec<String> = candidate
            .copies
            .iter()
            .filter(|copy| copy.is_secret)
            .map(|copy| copy.name.clone())
            .collect();
        self.take_off(name, text, &candidate.blanked, &secret_files, remembered, outcome)
    }

    /// Everything onto the data partition.
    fn store(
        &mut self,
        candidate: &Candidate,
        files: &[(&super::plan::Copy, Vec<u8>)],
        remembered: &Remembered,
    ) -> io::Result<()> {
        for (copy, bytes) in files {
            replace(self.storage, &in_files(&copy.name), bytes, Access::Programs)?;
        }
        replace(
            self.storage,
            Path::new(SETTINGS),
            candidate.text.as_bytes(),
            Access::Programs,
        )?;
        if candidate.forgets {
            self.forget_all_but(&candidate.copies)?;
        }
        let keys = Path::new(AUTHORIZED_KEYS);
        if candidate.authorized_keys.is_empty() {
            self.storage.remove(keys)?;
        } else {
            let lines = candidate.authorized_keys.join("\n") + "\n";
            replace(self.storage, keys, lines.as_bytes(), Access::Private)?;
        }
        self.remember(remembered)?;
        self.storage.sync_all(Path::new(FOLDER))
    }

    /// The secrets off the card, and then out of mind.
    fn take_off(
        &mut self,
        name: &str,
        text: &str,
        blanked: &str,
        files: &[String],
        mut remembered: Remembered,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let taken = || -> io::Result<()> {
            for file in files {
                self.storage.remove(&on_card(file))?;
            }
            if blanked != text {
                replace(self.storage, &on_card(name), blanked.as_bytes(), Access::Fat)?;
            }
            self.storage.sync_all(Path::new(CARD))
        }();
        if let Err(error) = taken {
            outcome.notes.push(format!(
                "the secrets could not be taken off {}: {error}; delete them there yourself",
                self.source
            ));
            return Ok(());
        }
        if blanked != text || !files.is_empty() {
            outcome.notes.push(format!(
                "its secrets were taken off {}: they are kept inside, and a blank one there means the one that is kept",
                self.source
            ));
        }
        if let Some(last) = remembered.get_mut(&self.source) {
            last.with_secrets = None;
        }
        self.remember(&remembered).map_err(Failure::Data)
    }

    fn forget(&mut self) -> io::Result<()> {
        self.forget_all_but(&[])?;
        self.storage.remove(Path::new(AUTHORIZED_KEYS))
    }

    fn forget_all_but(&mut self, kept: &[super::plan::Copy]) -> io::Result<()> {
        for folder in [DROP_INS, FILES].map(Path::new) {
            for name in self.storage.names(folder) {
                if folder == Path::new(DROP_INS) || !kept.iter().any(|copy| copy.name == name) {
                    self.storage.remove_all(&folder.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn remembered(&self) -> Remembered {
        let bytes = self.storage.read(&memory()).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn remember(&mut self, remembered: &Remembered) -> io::Result<()> {
        let bytes = serde_json::to_vec(remembered)?;
        replace(self.storage, &memory(), &bytes, Access::Private)
    }
}

/// The folder of the settings.
const FOLDER: &str = "/etc/spotstream";

fn on_card(name: &str) -> PathBuf {
    Path::new(CARD).join(name)
}

fn in_files(name: &str) -> PathBuf {
    Path::new(FILES).join(name)
}

fn memory() -> PathBuf {
    Path::new(MEMORY).join("import.json")
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
