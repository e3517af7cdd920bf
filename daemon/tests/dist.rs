//! What is installed beside the binaries fits them.

use std::collections::BTreeSet;
use std::path::Path;

use netsetup::config::fragment as network;
use spotstream_settings::Format;
use spotstreamd::config::fragment as daemon;
use spotstreamd::{config, edge::dbus, web};

const TEMPLATE: &str = include_str!("../dist/usr/share/spotstream/spotstream.toml");
const SYSUSERS: &str = include_str!("../dist/usr/lib/sysusers.d/spotstream.conf");
const SYSUSERS_OF_NETSETUP: &str = include_str!("../../netsetup/dist/usr/lib/sysusers.d/netsetup.conf");
const TMPFILES: &str = include_str!("../dist/usr/lib/tmpfiles.d/spotstream.conf");
const UNIT: &str = include_str!("../dist/usr/lib/systemd/system/spotstreamd.service");
const SOCKET: &str = include_str!("../dist/usr/lib/systemd/system/spotstreamd.socket");

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
fn the_template_asks_nothing_of_the_network() {
    let loaded = netsetup::config::check_bytes(Path::new("spotstream.toml"), TEMPLATE.as_bytes()).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.desired.wifi, []);
}

#[test]
fn the_lines_of_the_template_make_an_enterprise_network() {
    let text = ["identity", "password", "server_name", "ca", "method", "ssid"]
        .iter()
        .fold(TEMPLATE.to_owned(), |text, key| {
            text.replace(&format!("\n#{key} = "), &format!("\n{key} = "))
        });
    let loaded = netsetup::config::check_bytes(Path::new("spotstream.toml"), text.as_bytes()).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.desired.wifi.len(), 1);
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
    let mut known: BTreeSet<String> = [daemon::KEYS, network::KEYS]
        .concat()
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
    for defaults in [daemon::Fragment::DEFAULTS, network::Fragment::DEFAULTS].concat() {
        let defaults: toml::Table = defaults.parse().unwrap();
        for (section, keys) in &defaults {
            for (key, value) in keys.as_table().unwrap() {
                assert_eq!(template[section].get(key), Some(value), "{section}.{key}");
            }
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

#[test]
fn the_daemon_gets_the_socket_of_the_page_by_its_name() {
    assert!(SOCKET.contains(&format!("\nFileDescriptorName={}\n", web::SOCKET)));
    assert!(SOCKET.contains("\nListenStream=80\n") && UNIT.contains("\nSockets=spotstreamd.socket\n"));
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn the_settings_are_for_the_programs_and_not_for_the_operators() {
    let members = |text: &'static str| -> Vec<Vec<&str>> {
        text.lines()
            .map(words)
            .filter(|words| words.first() == Some(&"m"))
            .collect()
    };
    assert_eq!(members(SYSUSERS), [["m", "spotstream", "spotstream-settings"]]);
    assert_eq!(
        members(SYSUSERS_OF_NETSETUP),
        [["m", "netsetup", "spotstream-settings"]]
    );
    for group in [SYSUSERS, SYSUSERS_OF_NETSETUP] {
        assert!(
            group
                .lines()
                .any(|line| words(line) == ["g", "spotstream-settings", "-"])
        );
    }
    let files: Vec<_> = TMPFILES
        .lines()
        .map(words)
        .filter(|words| matches!(words.first(), Some(&("C" | "z"))))
        .collect();
    assert_eq!(files.len(), 3);
    for file in files {
        assert_eq!(file[2..5], ["0640", "root", "spotstream-settings"]);
    }
    assert!(
        UNIT.contains("\nUser=spotstream\n") && UNIT.contains("\nSupplementaryGroups=spotstream-settings\n")
    );
}
