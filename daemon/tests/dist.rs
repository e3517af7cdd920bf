//! What is installed beside the binaries fits them.

use std::collections::BTreeSet;
use std::path::Path;

use spotstreamd::config::fragment::KEYS;
use spotstreamd::{config, edge::dbus};

const TEMPLATE: &str = include_str!("../dist/usr/share/spotstream/spotstream.toml");
const DEFAULTS: &str = include_str!("../src/config/defaults.toml");

/// The template with every key in use.
fn in_use() -> String {
    let is_key = |rest: &str| {
        rest.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    TEMPLATE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_template_lacks_only_the_stream_key() {
    let problems = config::check_bytes(Path::new("spotstream.toml"), TEMPLATE.as_bytes()).unwrap_err();
    assert_eq!(
        problems
            .0
            .iter()
            .map(|p| (p.key.as_str(), p.kind()))
            .collect::<Vec<_>>(),
        [("stream.key", "missing")]
    );
}

#[test]
fn the_template_has_every_key() {
    let template: toml::Table = in_use().parse().unwrap();
    let names = |table: &toml::Table| -> BTreeSet<String> {
        table
            .iter()
            .flat_map(|(section, keys)| {
                keys.as_table()
                    .unwrap()
                    .keys()
                    .map(move |key| format!("{section}.{key}"))
            })
            .collect()
    };
    let mut known: BTreeSet<String> = KEYS
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")))
        .collect();
    // Twitch is what is meant when nothing is said.
    known.remove("stream.service");
    assert_eq!(names(&template), known);
}

#[test]
fn the_template_shows_the_defaults() {
    let template: toml::Table = in_use().parse().unwrap();
    let defaults: toml::Table = DEFAULTS.parse().unwrap();
    for (section, keys) in &defaults {
        for (key, value) in keys.as_table().unwrap() {
            assert_eq!(template[section].get(key), Some(value), "{section}.{key}");
        }
    }
}

#[test]
fn the_bus_policy_is_about_our_name() {
    let policy = include_str!("../dist/usr/share/dbus-1/system.d/org.spotstream.Daemon1.conf");
    for (at, _) in policy.match_indices("=\"org.spotstream") {
        assert!(policy[at + 2..].starts_with(&format!("{}\"", dbus::NAME)));
    }
}
