//! What others have written down about this start.

use std::fs;

use tracing::warn;

use crate::facts::Facts;
use crate::healthy::wait::{GIVEN_UP, VERDICT};
use crate::place::{BOOT, MEMORY, Place};
use crate::slots::Start;
use crate::{bootstate, import};

/// Why the start before this one was given up, for as long as this start lasts.
const GIVEN_UP_BEFORE: &str = "/run/spotstream/given-up";

pub(super) fn read(place: &Place) -> Facts {
    Facts {
        version: version(place),
        start: Start::parse(&place.text(BOOT).unwrap_or_default()),
        slots: bootstate::read()
            .inspect_err(|error| warn!(kind = error.kind(), "{error}"))
            .ok(),
        given_up: given_up(place),
        health: place.text(VERDICT),
        settings: import::outcome(place),
        ..Facts::default()
    }
}

/// `IMAGE_VERSION` of os-release(5).
fn version(place: &Place) -> String {
    let release = place.text("/usr/lib/os-release").unwrap_or_default();
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("IMAGE_VERSION="))
        .map(|version| version.trim_matches('"').to_owned());
    version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
}

/// What the start before wrote down is told during this one, and then no more.
fn given_up(place: &Place) -> Option<String> {
    let kept = place.at(MEMORY).join(GIVEN_UP);
    if let Ok(why) = fs::read(&kept) {
        let moved = fs::write(place.at(GIVEN_UP_BEFORE), why).and_then(|()| fs::remove_file(&kept));
        if let Err(error) = moved {
            warn!("failed to take over '{}': {error}", kept.display());
        }
    }
    place.text(GIVEN_UP_BEFORE).filter(|why| !why.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_start_was_given_up_is_told_during_the_next_one_only() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::below(root.path());
        for folder in ["var/lib/spotstream-appliance", "run/spotstream"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(place.at(MEMORY).join(GIVEN_UP), "netsetup has failed\n").unwrap();
        // Once more, because the service may be started anew.
        for _ in 0..2 {
            assert_eq!(given_up(&place).as_deref(), Some("netsetup has failed"));
        }
        fs::remove_file(place.at(GIVEN_UP_BEFORE)).unwrap();
        assert_eq!(given_up(&place), None, "after the next start");
    }

    #[test]
    fn the_version_is_the_image_s() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::below(root.path());
        assert_eq!(version(&place), env!("CARGO_PKG_VERSION"));
        fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        fs::write(
            root.path().join("usr/lib/os-release"),
            "ID=debian\nIMAGE_VERSION=\"1.2\"\n",
        )
        .unwrap();
        assert_eq!(version(&place), "1.2");
    }
}
