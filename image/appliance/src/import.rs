//! `import`: the settings from the boot disk's FAT, or from a stick labelled SPOTCONF.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use tracing::warn;

use crate::card::Card;
use crate::place::{BOOT_PARTITION, Place};
use crate::settings::apply::apply;
use crate::settings::check::Programs;
use crate::settings::outcome::{Complaint, Outcome, Source, What};
use crate::storage::Disk;

/// What became of it, for those who tell people.
pub const OUTCOME: &str = "/run/spotstream/import.json";
/// One import at a time: a stick may be plugged in while the card is read.
const LOCK: &str = "/run/spotstream/import.lock";
/// Where the candidate lies while it is checked.
const FOLDER: &str = "/run/spotstream";

/// Takes the settings over from a partition, the boot disk's if none is given. It never fails: the outcome says what
/// stood in the way, and the box starts with the settings that it has.
pub fn import(place: &Place, from: Option<&Path>, also: impl FnOnce(&Outcome)) -> Outcome {
    let (source, device) = match from {
        Some(device) => (Source::Stick, device),
        None => (Source::Card, Path::new(BOOT_PARTITION)),
    };
    let _lock = lock(place)
        .inspect_err(|error| warn!("failed to lock '{LOCK}', going on without: {error}"))
        .ok();
    let outcome = take(place, source, device, also);
    if let Err(error) = write(place, &outcome) {
        warn!("failed to write '{OUTCOME}': {error}");
    }
    outcome
}

/// What the last import has written down.
pub fn outcome(place: &Place) -> Outcome {
    let text = place.text(OUTCOME).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn take(place: &Place, source: Source, device: &Path, also: impl FnOnce(&Outcome)) -> Outcome {
    let mut disk = Disk::new(place.clone());
    match Card::mount(place, &place.at(device)) {
        Ok(_card) => {
            let programs = Programs {
                folder: place.at(FOLDER),
                program: "spotstreamctl".to_owned(),
            };
            let outcome = apply(&mut disk, &programs, source);
            also(&outcome);
            outcome
        }
        Err(error) => {
            warn!(kind = error.kind(), "{error}");
            Outcome {
                what: What::Failed,
                source: Some(source),
                complaints: vec![Complaint {
                    line: None,
                    key: String::new(),
                    sentence: error.to_string(),
                }],
                ..Outcome::default()
            }
        }
    }
}

/// Nobody else uses [`CARD`](crate::place::CARD) while it lasts.
///
/// # Errors
/// What the kernel says.
pub fn lock(place: &Place) -> io::Result<Flock<File>> {
    std::fs::create_dir_all(place.at(FOLDER))?;
    let file = File::create(place.at(LOCK))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

fn write(place: &Place, outcome: &Outcome) -> io::Result<()> {
    let new = place.at(OUTCOME).with_extension("new");
    std::fs::write(&new, serde_json::to_vec(outcome)?)?;
    std::fs::rename(new, place.at(OUTCOME))
}
