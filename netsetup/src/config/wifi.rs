//! The WiFi networks.

use std::collections::BTreeSet;

use netsetup_core::names::{MacAddress, Ssid};
use netsetup_core::profile::{MacPolicy, Security, Wifi};
use spotstream_core::secret::Secret;
use spotstream_settings::error::nearest_name;
use spotstream_settings::field::{given, place as written_at};
use spotstream_settings::{At, Checker, Field, Kind, Place};

use super::enterprise;
use super::fragment;

const SSID_HOW: &str = "write the name of the network as your phone shows it: ssid = \"...\"";
const SSID: (&str, &str) = (
    "the name of a WiFi network: at most 32 letters, and those with accents or of other alphabets count for two to four",
    "\"Lab\"",
);
const PASSPHRASE_HOW: &str = "write the passphrase of the network: passphrase = \"...\"";
const PASSPHRASE: (&str, &str) = (
    "a passphrase of 8 to 63 characters, or a key of 64 hexadecimal digits",
    "\"correct horse\"",
);
const LONG_PASSPHRASE: (&str, &str) = ("a passphrase of 1 to 128 characters", "\"correct horse\"");
const FIXED_MAC: (&str, &str) = (
    "the hardware address of one device: its second digit is 0, 2, 4, 6, 8, a, c or e",
    "\"02:00:5e:12:34:56\"",
);
const MAC_WORDS: &[(&str, MacPolicy)] = &[
    ("permanent", MacPolicy::Permanent),
    ("stable", MacPolicy::Stable),
    ("random", MacPolicy::Random),
];
const SECURITY_WORDS: &[(&str, Option<Way>)] = &[
    ("auto", None),
    ("open", Some(Way::Open)),
    ("wpa2", Some(Way::Wpa2)),
    ("wpa3", Some(Way::Wpa3)),
    ("enterprise", Some(Way::Enterprise)),
];

/// How a network lets us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    Wpa2,
    Wpa3,
    Enterprise,
}

/// The networks without a problem, the best first.
pub(super) fn networks(checker: &mut Checker, sections: &[At<fragment::Wifi>]) -> Vec<Wifi> {
    let mut names = BTreeSet::new();
    let mut networks = Vec::new();
    for (above, section) in sections.iter().enumerate() {
        let from = &section.value;
        checker.enter(&section.place);
        if let Field::Given(at) = &from.ssid
            && !names.insert(&at.value)
        {
            let sentence = "there is a network of this name above; keep one of them";
            checker.problem(&at.place, "wifi.ssid", Kind::Conflict { sentence });
        }
        let ssid = ssid(checker, from);
        let mac = mac(checker, from);
        let security = security(checker, section);
        if let (Some(ssid), Some(mac), Some(security)) = (ssid, mac, security) {
            networks.push(Wifi {
                ssid,
                hidden: given(&from.hidden).unwrap_or(false),
                priority: priority(sections.len() - above),
                mac,
                security,
            });
        }
    }
    networks
}

/// NetworkManager takes 999 at most.
fn priority(below: usize) -> i32 {
    i32::try_from(below).map_or(999, |below| below.min(999))
}

fn ssid(checker: &mut Checker, from: &fragment::Wifi) -> Option<Ssid> {
    let at = checker.required("wifi.ssid", &from.ssid, SSID_HOW)?;
    if !checker.not_empty("wifi.ssid", at, SSID_HOW) {
        return None;
    }
    checker.text("wifi.ssid", &from.ssid, SSID, |text| {
        let printable = !text.chars().any(char::is_control);
        Ssid::try_from(text.to_owned()).ok().filter(|_| printable)
    })
}

fn mac(checker: &mut Checker, from: &fragment::Wifi) -> Option<MacPolicy> {
    let at = match &from.mac {
        Field::Absent => return Some(MacPolicy::default()),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    if let Some((_, policy)) = MAC_WORDS.iter().find(|(word, _)| *word == at.value) {
        return Some(*policy);
    }
    let Ok(address) = at.value.parse::<MacAddress>() else {
        let kind = Kind::NotAChoice {
            choices: "\"permanent\", \"stable\", \"random\", or six pairs of digits 0-9 a-f with colons between, like \"02:00:5e:12:34:56\""
                .to_owned(),
            nearest: nearest_name(&at.value, MAC_WORDS.iter().map(|(word, _)| *word)),
        };
        checker.problem(&at.place, "wifi.mac", kind);
        return None;
    };
    let [first, ..] = address.0;
    if first & 1 == 1 || address.0 == [0; 6] {
        let (expected, example) = FIXED_MAC;
        checker.problem(&at.place, "wifi.mac", Kind::Malformed { expected, example });
        return None;
    }
    Some(MacPolicy::Fixed(address))
}

fn security(checker: &mut Checker, section: &At<fragment::Wifi>) -> Option<Security> {
    let from = &section.value;
    let chosen = checker.choice_or("wifi.security", &from.security, SECURITY_WORDS, None)?;
    let way = match chosen {
        Some(way) => way,
        None => guess(checker, section)?,
    };
    match way {
        Way::Enterprise => {
            let sentence =
                "an enterprise network has no passphrase: write your own password as password = \"...\"";
            refuse(checker, "wifi.passphrase", written_at(&from.passphrase), sentence);
            enterprise::enterprise(checker, from).map(Security::Enterprise)
        }
        Way::Open => {
            let sentence = "an open network has no passphrase: take it away, or write security = \"wpa2\"";
            refuse(checker, "wifi.passphrase", written_at(&from.passphrase), sentence);
            refuse_enterprise(checker, from);
            Some(Security::Open)
        }
        Way::Wpa2 | Way::Wpa3 => {
            refuse_enterprise(checker, from);
            let passphrase = checker.secret("wifi.passphrase", &from.passphrase, PASSPHRASE_HOW)?;
            let form = if way == Way::Wpa2 {
                PASSPHRASE
            } else {
                LONG_PASSPHRASE
            };
            if !fits(&passphrase, way) {
                if let Field::Given(at) = &from.passphrase {
                    let (expected, example) = form;
                    checker.problem(
                        &at.place,
                        "wifi.passphrase",
                        Kind::Malformed { expected, example },
                    );
                }
                return None;
            }
            Some(match way {
                Way::Wpa3 => Security::Wpa3 { passphrase },
                Way::Wpa2 | Way::Open | Way::Enterprise => Security::Wpa2 { passphrase },
            })
        }
    }
}

/// What a person means who did not write `security`.
fn guess(checker: &mut Checker, section: &At<fragment::Wifi>) -> Option<Way> {
    let from = &section.value;
    if from.identity.is_written() || from.method.is_written() || from.certificate.is_written() {
        return Some(Way::Enterprise);
    }
    if from.passphrase.is_written() {
        return Some(Way::Wpa2);
    }
    if let Some(place) = written_at(&from.password) {
        let sentence = "the password of a network that all its users share is written as passphrase = \"...\"; a password of \
                        your own needs identity = \"...\" too";
        checker.problem(place, "wifi.password", Kind::Conflict { sentence });
        return None;
    }
    let sentence =
        "without a passphrase it is taken for an open network; if it is one, write security = \"open\"";
    checker.warn(&section.place, "wifi", sentence);
    Some(Way::Open)
}

fn fits(passphrase: &Secret, way: Way) -> bool {
    let text = passphrase.reveal();
    match way {
        Way::Wpa3 => text.len() <= 128,
        Way::Open | Way::Wpa2 | Way::Enterprise => {
            let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            (8..=63).contains(&text.len()) || is_key
        }
    }
}

fn refuse_enterprise(checker: &mut Checker, from: &fragment::Wifi) {
    let sentence = "it is for enterprise networks only: take it away, or write security = \"enterprise\"";
    for (key, place) in [
        ("wifi.identity", written_at(&from.identity)),
        ("wifi.anonymous_identity", written_at(&from.anonymous_identity)),
        ("wifi.password", written_at(&from.password)),
        ("wifi.method", written_at(&from.method)),
        ("wifi.inner", written_at(&from.inner)),
        ("wifi.ca", written_at(&from.ca)),
        ("wifi.server_name", written_at(&from.server_name)),
        ("wifi.certificate", written_at(&from.certificate)),
        ("wifi.key", written_at(&from.key)),
        ("wifi.key_password", written_at(&from.key_password)),
    ] {
        refuse(checker, key, place, sentence);
    }
}

/// Reports a key that excludes another, where it is written.
pub(super) fn refuse(checker: &mut Checker, key: &str, place: Option<&Place>, sentence: &'static str) {
    if let Some(place) = place {
        checker.problem(place, key, Kind::Conflict { sentence });
    }
}
