//! What is installed beside the binary fits it.
#![expect(clippy::unwrap_used, reason = "a test that is surprised has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use appliance::bus::appliance::NAME;
use appliance::healthy::rule::REQUIRED;
use appliance::healthy::wait::{LIMIT, SETTLED};
use appliance::place::{CARD, MEMORY};

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/usr")
}

fn unit(name: &str) -> String {
    fs::read_to_string(dist().join("lib/systemd/system").join(name)).unwrap()
}

#[test]
fn the_bus_policy_is_about_our_name() {
    let policy =
        fs::read_to_string(dist().join("share/dbus-1/system.d/org.spotstream.Appliance1.conf")).unwrap();
    let names = policy.match_indices("=\"org.spotstream");
    assert!(names.clone().count() > 5);
    for (at, _) in names {
        assert!(policy[at + 2..].starts_with(&format!("{NAME}\"")), "{at}");
    }
}

#[test]
fn the_units_that_must_run_are_ours_or_debian_s() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let trees = ["image/appliance", "daemon", "netsetup"].map(|tree| root.join(tree));
    let is_shipped = |name: &str| {
        let mut trees = trees.iter();
        trees.any(|tree| tree.join("dist/usr/lib/systemd/system").join(name).exists())
    };
    for name in REQUIRED {
        let is_debian_s = ["dbus.service", "NetworkManager.service"].contains(&name);
        assert!(is_debian_s || is_shipped(name), "{name}");
    }
}

#[test]
fn systemd_waits_longer_for_health_than_the_program_does() {
    let unit = unit("spotstream-healthy.service");
    let limit = unit
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStartSec="))
        .unwrap();
    assert!(limit.parse::<u64>().unwrap() > (LIMIT + SETTLED).as_secs());
}

#[test]
fn a_stick_is_imported_as_the_card_is() {
    let lines = |name: &str| -> Vec<String> {
        unit(name)
            .lines()
            .skip_while(|line| !line.starts_with("[Service]"))
            .take_while(|line| !line.starts_with("[Install]"))
            .filter(|line| {
                !line.is_empty() && !line.starts_with("ExecStart=") && !line.starts_with("RemainAfterExit")
            })
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        lines("spotstream-import@.service"),
        lines("spotstream-import.service")
    );
}

#[test]
fn the_folders_that_the_program_uses_are_made() {
    let lines = fs::read_to_string(dist().join("lib/tmpfiles.d/spotstream-appliance.conf")).unwrap();
    for folder in [MEMORY, CARD, "/run/spotstream"] {
        let is_made = |line: &str| line.split_whitespace().take(2).eq(["d", folder]);
        assert!(lines.lines().any(is_made), "{folder}");
    }
}

#[test]
fn the_flash_of_a_nano_is_guarded_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let trees = [
        "image/appliance/dist",
        "daemon/dist",
        "netsetup/dist",
        "image/root",
    ];
    let folders = trees.map(|tree| root.join(tree).join("usr/lib/udev/rules.d"));
    let files = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten();
    let rules: String = files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert_eq!(rules.matches(r#"SUBSYSTEM=="mtd""#).count(), 1, "{rules}");
}
