//! Names on the card that a file of the person's own must not bear: it would take the other's place, or go with it.

use super::apply::NAMES;
use crate::report;

/// What the image puts on the card, and what a Pi's firmware or U-Boot would take for its own.
const OF_THE_CARD: [&str; 13] = [
    "start4.elf",
    "fixup4.dat",
    "config.txt",
    "cmdline.txt",
    "autoboot.txt",
    "bcm2711-rpi-4-b.dtb",
    "u-boot.bin",
    "uboot.env",
    "boot.scr",
    "u-boot-preboot.scr",
    "Image",
    "initrd",
    "README.txt",
];

/// Whether a name means one of those files to FAT, which knows no large letters, drops dots and blanks at the end, and
/// has a short name with a '~' for each long one.
pub(super) fn is_reserved(name: &str) -> bool {
    let name = name.trim_end_matches(['.', ' ']);
    let mut names = OF_THE_CARD.iter().chain(&NAMES).chain([&report::NAME]);
    names.any(|reserved| reserved.eq_ignore_ascii_case(name)) || is_short(name)
}

/// `U-BOOT~1.BIN`.
fn is_short(name: &str) -> bool {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let number = stem.rsplit_once('~').map(|(_, number)| number);
    let is_numbered = number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
    is_numbered && stem.len() <= 8 && ending.len() <= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_image_puts_on_the_card_is_reserved() {
        let referee = include_str!("../../../../ci/referees/test_build.py");
        let (_, rest) = referee.split_once("\nCARD = {\n").unwrap();
        let (card, _) = rest.split_once("\n}\n").unwrap();
        let names: Vec<_> = card
            .lines()
            .map(|line| line.trim_matches([' ', '"', ',']))
            .collect();
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn other_ways_to_write_such_a_name_are_the_same_file() {
        for name in [
            "CONFIG.TXT",
            "config.txt.",
            "Boot.scr ",
            "U-BOOT~1.BIN",
            "spotstream.toml.txt",
            "spotstream-report.txt",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "ca.pem",
            "wifi.key",
            "config.txt.pem",
            "robot~.json",
            "me~1.example.pem",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
