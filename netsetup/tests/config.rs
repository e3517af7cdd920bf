//! Each folder of `tests/config` is a case: `spotstream.toml` is checked, and what a person reads and what netsetup
//! then wants is `settings.expected`. `UPDATE=1 cargo test --test config` writes the expectations anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use netsetup::config::fragment::KEYS;
use netsetup::config::{self, Loaded, Problems};
use netsetup_core::profile::Security;
use proptest::prelude::*;

/// Every secret of the cases has it in it.
const PLANTED: &str = "planted";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut cases: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

fn report(case: &Path) -> String {
    let text = match config::check(&case.join("spotstream.toml")) {
        Ok(loaded) => {
            let warnings: String = loaded
                .warnings
                .iter()
                .map(|warning| format!("warning: {warning}\n"))
                .collect();
            format!("right\n{}{warnings}{:#?}\n", loaded.listing, loaded.desired)
        }
        Err(problems) => {
            let lines: String = problems
                .0
                .iter()
                .map(|p| format!("{} [{}]\n", p, p.kind()))
                .collect();
            format!("wrong\n{lines}")
        }
    };
    text.replace(&format!("{}/", case.display()), "")
}

#[test]
fn every_case_reads_as_expected_and_shows_no_secret() {
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let mut stale = Vec::new();
    for case in cases {
        let expected = case.join("settings.expected");
        let report = report(&case);
        assert!(!report.contains(PLANTED), "{}\n{report}", case.display());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &report).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != report {
            stale.push(format!("{}\n{report}", case.display()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn a_case_that_is_named_good_is_right_and_every_other_has_one_problem_at_least() {
    for case in cases() {
        let right = report(&case).starts_with("right");
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(right, name.contains("-good-"), "{name}");
    }
}

#[test]
fn a_later_file_wins_key_by_key_and_its_networks_replace_all_before() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "usr/lib/spotstream/spotstream.toml",
        "[network]\ncountry = 'US'\nlayout = 'rear'\n[[wifi]]\nssid = 'a'\nsecurity = 'open'\n[[wifi]]\nssid = 'b'\nsecurity = 'open'\n",
    );
    write(
        "run/spotstream/spotstream.d/10-a.toml",
        "[wifi]\nssid = 'c'\npassphrase = 'planted1'\nhidden = true\n",
    );
    write(
        "etc/spotstream/spotstream.toml",
        "[network]\ncountry = 'DE'\n[robot]\nhosts = ['10.0.0.77']\n",
    );
    let desired = config::load(root.path()).unwrap().desired;
    assert_eq!(desired.country.unwrap().to_string(), "DE");
    assert_eq!(desired.layout, Some(netsetup_core::layout::Layout::Rear));
    let names: Vec<_> = desired.wifi.iter().map(|wifi| wifi.ssid.as_str()).collect();
    assert_eq!(names, ["c"]);
    assert!(desired.robot_hosts.contains(&"10.0.0.77".parse().unwrap()));
    assert!(desired.robot_hosts.contains(&"192.168.50.6".parse().unwrap()));
    assert!(!desired.robot_hosts.contains(&"10.0.0.200".parse().unwrap()));
}

#[test]
fn no_file_at_all_is_right() {
    let root = tempfile::tempdir().unwrap();
    let loaded = config::load(root.path()).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.desired.wifi, []);
    assert_eq!(loaded.desired.ingest.host, "ingest.twitch.tv");
}

fn check(text: &str) -> Result<Loaded, Problems> {
    config::check_bytes(Path::new("spotstream.toml"), text.as_bytes())
}

fn everything_said(checked: &Result<Loaded, Problems>) -> String {
    match checked {
        Ok(loaded) => format!("{loaded:?}\n{}\n{:?}", loaded.listing, loaded.warnings),
        Err(problems) => format!("{problems:?}\n{problems}\n{}", problems.kind()),
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated_by_the_error() {
    let secret = "planted-1 \u{e9}";
    for (section, keys) in KEYS {
        // These are no secrets, and a name is shown.
        let shown = ["ssid", "identity", "anonymous_identity"];
        for key in keys.iter().filter(|key| !shown.contains(key)) {
            let text = format!(
                "[{section}]\n{key} = \"{secret}\"\n\"{secret}\" = \"{secret}\"\n{secret}\n[\"{secret}\"]\n"
            );
            let checked = check(&text);
            assert!(checked.is_err(), "{text}");
            assert!(!everything_said(&checked).contains(PLANTED), "{text}");
        }
    }
}

const RIGHT: &str = "[network]\ncountry = \"DE\"\nopen = [\"ssh\"]\n[[wifi]]\nssid = \"Lab\"\npassphrase = \"planted1\"\n\
                     [[wifi]]\nssid = \"eduroam\"\nidentity = \"a@b.example\"\npassword = \"planted2\"\nserver_name = \"b.example\"\n\
                     [robot]\nhosts = [\"10.0.0.3\"]\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_file_is_settings_or_has_a_problem_and_never_shows_a_secret(
        edits in proptest::collection::vec((0..RIGHT.len(), 0..3_u8, "[\\[\\]=\"'\n\r.,{}# a1\\\\\u{feff}é]{0,4}"), 1..4)
    ) {
        let mut letters: Vec<char> = RIGHT.chars().collect();
        for (at, edit, text) in edits {
            let at = at.min(letters.len().saturating_sub(1));
            match edit {
                0 => drop(letters.drain(at..(at + 1).min(letters.len()))),
                1 => drop(letters.splice(at..at, text.chars())),
                _ => drop(letters.splice(at..(at + 3).min(letters.len()), text.chars())),
            }
        }
        let text: String = letters.iter().collect();
        let checked = check(&text);
        if let Err(problems) = &checked {
            prop_assert!(!problems.0.is_empty());
            prop_assert!(problems.0.iter().all(|problem| !problem.to_string().contains('\n')));
        }
        // A passphrase that has run into a name, because a quote is gone, is that name now.
        if !names_of(&checked).any(|name| name.contains("anted")) {
            prop_assert!(!everything_said(&checked).contains("anted"), "{text}\n{}", everything_said(&checked));
        }
    }
}

fn names_of(checked: &Result<Loaded, Problems>) -> impl Iterator<Item = &str> {
    let networks = checked.iter().flat_map(|loaded| &loaded.desired.wifi);
    networks.flat_map(|wifi| {
        let identity = match &wifi.security {
            Security::Enterprise(enterprise) => Some(enterprise.identity.as_str()),
            Security::Open | Security::Wpa2 { .. } | Security::Wpa3 { .. } => None,
        };
        [Some(wifi.ssid.as_str()), identity].into_iter().flatten()
    })
}

#[test]
fn right_settings_keep_their_secrets() {
    let checked = check(RIGHT);
    assert!(!everything_said(&checked).contains(PLANTED));
    let desired = checked.unwrap().desired;
    let priorities: Vec<_> = desired.wifi.iter().map(|wifi| wifi.priority).collect();
    assert_eq!(priorities, [2, 1]);
}
