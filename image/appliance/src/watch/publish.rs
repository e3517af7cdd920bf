//! Writes the report to the card.

use std::path::Path;

use crate::card::Card;
use crate::import::lock;
use crate::place::{BOOT_PARTITION, Place};
use crate::report;
use crate::storage::Disk;

/// Mounts the card's FAT for as long as it takes.
///
/// # Errors
/// A sentence: what stood in the way.
pub fn publish(place: &Place, text: &str) -> Result<(), String> {
    let _lock = lock(place).map_err(|error| error.to_string())?;
    let card = Card::mount(place, &place.at(Path::new(BOOT_PARTITION))).map_err(|error| error.to_string())?;
    if card.is_read_only {
        return Err("the card may not be written to; slide its lock open".to_owned());
    }
    let written = report::write(&mut Disk::new(place.clone()), text);
    written
        .map(drop)
        .map_err(|error| format!("{error}; have a PC check the card for errors, and make room on it"))
}
