//! Checks a settings file with the eyes of every program that reads it.

use std::path::Path;

use spotstreamd::config::{self, Listing, Problem, Problems};

/// A file that every program is content with.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What works, but could be better.
    pub(crate) warnings: Vec<Problem>,
    /// What holds and where it was written; secrets only as "(set)".
    pub(crate) listing: Listing,
}

/// Checks a file; what is wrong comes in the order of its lines, whoever noticed it.
pub(crate) fn check(file: &Path) -> Result<Checked, Problems> {
    match (config::check(file), netsetup::config::check(file)) {
        (Ok(daemon), Ok(network)) => Ok(Checked {
            warnings: [daemon.warnings, network.warnings].concat(),
            listing: Listing([daemon.listing.0, network.listing.0].concat()),
        }),
        (Err(daemon), Err(network)) => Err(daemon.and(network)),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
    }
}
