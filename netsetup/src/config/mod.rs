//! The settings of netsetup: what was written ([`fragment`]), and what it means.
//!
//! `spotstream-settings` reads the files and lays them over each other. Of the sections of the daemon a few keys are
//! read; what is wrong with them the daemon reports, and here it is left out, so that the network is there to show it.

use std::path::Path;

use netsetup_core::desired::Desired;
use spotstream_settings::Merged;
pub use spotstream_settings::{Listed, Listing, Place, Problem, Problems};

mod desired;
mod enterprise;
pub mod fragment;
mod wifi;

use fragment::Fragment;

/// Settings that are right, and what a person may want to know about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Ready to use.
    pub desired: Desired,
    /// What works, but could be better.
    pub warnings: Vec<Problem>,
    /// What holds and where it was written; secrets only as "(set)".
    pub listing: Listing,
}

/// Loads the settings of the machine whose root directory is `root`: `usr/lib/spotstream`, `run/spotstream` and
/// `etc/spotstream`, in each `spotstream.toml`, then `spotstream.d/*.toml` by name. What is read later wins, key by key;
/// a file with WiFi networks replaces all that came before.
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

fn finish(merged: Merged<Fragment>) -> Result<Loaded, Problems> {
    let judged = merged.judge(desired::build)?;
    Ok(Loaded {
        desired: judged.meaning,
        warnings: judged.warnings,
        listing: judged.listing,
    })
}
