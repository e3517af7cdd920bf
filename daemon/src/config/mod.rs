//! The settings file: what was written ([`fragment`]), what holds ([`merged`]), what it means ([`settings`]).
//!
//! All problems of all files are found in one pass, so that a person mends the file once.

use std::fmt;
use std::path::Path;

mod checker;
pub mod choice;
pub mod error;
pub mod fragment;
pub mod merged;
pub mod names;
pub mod settings;
mod syntax;
mod text;

pub use error::{Place, Problem, Problems};
pub use settings::Settings;

use fragment::Listed;
use merged::Merged;

/// Settings that are right, and what a person may want to know about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Ready to use.
    pub settings: Settings,
    /// What works, but could be better.
    pub warnings: Vec<Problem>,
    /// What holds and where it was written; secrets only as "(set)".
    pub listing: Listing,
}

/// Every key that holds.
#[derive(Clone, Debug)]
pub struct Listing(pub Vec<Listed>);

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|line| writeln!(f, "{} = {}  # {}", line.key, line.value, line.place))
    }
}

/// Loads the settings of the machine whose root directory is `root`: `usr/lib/spotstream`, `run/spotstream` and
/// `etc/spotstream`, in each `spotstream.toml`, then `spotstream.d/*.toml` by name. What is read later wins, key by key.
///
/// # Errors
/// Everything that is wrong in any of the files, or missing in all of them.
pub fn load(root: &Path) -> Result<Loaded, Problems> {
    finish(Merged::read_root(root))
}

/// Checks one file as if it were the only one.
///
/// # Errors
/// Everything that is wrong in it.
pub fn check(file: &Path) -> Result<Loaded, Problems> {
    finish(Merged::read_file(file))
}

/// Checks the bytes of a file that is called `file` in messages.
///
/// # Errors
/// Everything that is wrong in it.
pub fn check_bytes(file: &Path, bytes: &[u8]) -> Result<Loaded, Problems> {
    finish(Merged::read_bytes(file, bytes))
}

fn finish(merged: Merged) -> Result<Loaded, Problems> {
    let listing = Listing(merged.fragment.list());
    let (settings, mut problems, warnings) = settings::build(&merged);
    let mut all = merged.problems;
    all.append(&mut problems);
    match settings {
        Some(settings) if all.is_empty() => Ok(Loaded {
            settings,
            warnings,
            listing,
        }),
        _ => Err(Problems(all)),
    }
}
