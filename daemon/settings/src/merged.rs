//! The files laid over each other, with the defaults below them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checker::Checker;
use crate::declare::Format;
use crate::error::{Kind, Place, Problem, Problems};
use crate::field::Listing;
use crate::reader;
use crate::text::LIMIT_BYTES;

const DIRECTORIES: [&str; 3] = ["usr/lib/spotstream", "run/spotstream", "etc/spotstream"];
const FILE: &str = "spotstream.toml";
const DROP_INS: &str = "spotstream.d";

/// What holds, before it is known whether it makes sense.
#[derive(Clone, Debug)]
pub struct Merged<F> {
    /// All keys, with defaults.
    pub fragment: F,
    /// What could not be used.
    pub problems: Vec<Problem>,
    /// The file that a person would write a missing key into.
    pub main_file: Arc<Path>,
}

/// What the settings mean, and what a person may want to know about them.
#[derive(Clone, Debug)]
pub struct Judged<T> {
    /// Ready to use.
    pub meaning: T,
    /// What works, but could be better.
    pub warnings: Vec<Problem>,
    /// What holds and where it was written; secrets only as "(set)".
    pub listing: Listing,
}

impl<F: Format> Merged<F> {
    /// Reads all settings files of a machine.
    pub fn read_root(root: &Path) -> Self {
        let mut merged = Self::defaults(&root.join("etc/spotstream").join(FILE));
        for directory in DIRECTORIES.map(|directory| root.join(directory)) {
            merged.lay_over(&directory.join(FILE), false);
            match drop_ins(&directory.join(DROP_INS)) {
                Ok(files) => files.iter().for_each(|file| merged.lay_over(file, false)),
                Err(error) => merged.report_unreadable(&directory.join(DROP_INS), &error),
            }
        }
        merged
    }

    /// Reads one file, which must exist.
    pub fn read_file(file: &Path) -> Self {
        let mut merged = Self::defaults(file);
        merged.lay_over(file, true);
        merged
    }

    /// Takes the bytes of one file.
    pub fn read_bytes(file: &Path, bytes: &[u8]) -> Self {
        let mut merged = Self::defaults(file);
        merged.lay_bytes_over(file, bytes);
        merged
    }

    /// Gives the values a meaning.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the files and their lines.
    pub fn judge<T>(
        self,
        meaning: impl FnOnce(&mut Checker, &F) -> Option<T>,
    ) -> Result<Judged<T>, Problems> {
        let unreadable = self.problems.iter().any(|problem| problem.key.is_empty());
        let mut checker = Checker::new(self.main_file, unreadable);
        let meaning = meaning(&mut checker, &self.fragment);
        let mut all = self.problems;
        all.append(&mut checker.problems);
        match meaning {
            Some(meaning) if all.is_empty() => Ok(Judged {
                meaning,
                warnings: checker.warnings,
                listing: Listing(self.fragment.list()),
            }),
            _ => Err(Problems::in_order(all)),
        }
    }

    /// The defaults alone.
    pub fn defaults(main_file: &Path) -> Self {
        let (fragment, problems) = reader::defaults();
        Self {
            fragment,
            problems,
            main_file: Arc::from(main_file),
        }
    }

    fn lay_over(&mut self, path: &Path, must_exist: bool) {
        match read(path) {
            Ok(bytes) => self.lay_bytes_over(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {}
            Err(error) => self.report_unreadable(path, &error),
        }
    }

    fn lay_bytes_over(&mut self, path: &Path, bytes: &[u8]) {
        let (fragment, mut problems) = reader::parse::<F>(&Arc::from(path), bytes);
        let below = std::mem::take(&mut self.fragment);
        self.fragment = fragment.over(below);
        self.problems.append(&mut problems);
    }

    fn report_unreadable(&mut self, path: &Path, error: &io::Error) {
        self.problems.push(Problem {
            place: Place::File(Arc::from(path), None),
            key: String::new(),
            kind: Kind::Unreadable {
                reason: error.kind().to_string(),
            },
        });
    }
}

/// Reads at most one byte more than is allowed, so that a device file cannot fill the memory.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn drop_ins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
