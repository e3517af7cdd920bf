//! NetworkManager's settings dictionary as a profile.
//!
//! A dictionary is read for what a profile of ours can say, then the profile is written again and the two dictionaries
//! are compared: what deviates anywhere is nobody's profile but its changer's.

use std::collections::HashMap;

use ipnet::Ipv4Net;
use netsetup_core::names::{InterfaceName, Ssid};
use netsetup_core::profile::{
    Enterprise, Inner, Kind, MacPolicy, Method, Profile, RobotAddress, Security, Server, Wifi,
};
use spotstream_core::secret::Secret;
use uuid::Uuid;
use zbus::{OwnedVariant, Variant};

use super::dictionary::{OURS, OWNER, render};
use super::proxy::{Received, Sent};

/// What NetworkManager says of a profile by itself: `timestamp` counts activations, `permissions` is for all, the others
/// are its defaults, or older spellings of what is compared under its newer name.
const ITS_OWN: [(&str, &str); 9] = [
    ("connection", "timestamp"),
    ("connection", "permissions"),
    ("802-3-ethernet", "auto-negotiate"),
    ("802-11-wireless", "security"),
    ("802-11-wireless", "cloned-mac-address"),
    ("802-11-wireless", "mac-address-randomization"),
    ("802-11-wireless", "seen-bssids"),
    ("ipv4", "addresses"),
    ("ipv6", "addr-gen-mode"),
];

/// The section that has a profile's secrets.
pub(super) fn section_with_secrets(received: &Received) -> Option<&'static str> {
    if received.contains_key("802-1x") {
        return Some("802-1x");
    }
    let section = "802-11-wireless-security";
    received.contains_key(section).then_some(section)
}

/// Whether a profile bears our mark.
pub(super) fn is_ours(received: &Received) -> bool {
    received
        .get("user")
        .and_then(|user| user.get("data"))
        .and_then(|data| HashMap::<String, String>::try_from(data.clone()).ok())
        .is_some_and(|data| data.get(OWNER).is_some_and(|owner| owner == OURS))
}

/// The UUID of a profile.
pub(super) fn uuid(received: &Received) -> Option<Uuid> {
    text(received, "connection", "uuid")?.parse().ok()
}

/// The profile, where the dictionary says what a profile of ours says, no more and no less.
pub(super) fn read(received: &Received) -> Option<Profile> {
    let profile = Profile {
        interface: match text(received, "connection", "interface-name") {
            Some(name) => Some(InterfaceName::parse(name)?),
            None => None,
        },
        kind: kind(received)?,
    };
    same(&render(&profile), received).then_some(profile)
}

fn kind(received: &Received) -> Option<Kind> {
    match text(received, "connection", "type")? {
        "802-11-wireless" => Some(Kind::Wifi(wifi(received)?)),
        "gsm" => Some(Kind::Modem {
            apn: text(received, "gsm", "apn")?.to_owned(),
        }),
        "802-3-ethernet" if value(received, "ipv4", "route-table").is_none() => Some(Kind::Ethernet),
        "802-3-ethernet" if text(received, "ipv4", "method")? == "auto" => {
            Some(Kind::Robot(RobotAddress::Dhcp))
        }
        "802-3-ethernet" => Some(Kind::Robot(RobotAddress::Static(address(received)?))),
        _ => None,
    }
}

fn address(received: &Received) -> Option<Ipv4Net> {
    let Variant::Array(all) = &**value(received, "ipv4", "address-data")? else {
        return None;
    };
    let [Variant::Dict(one)] = all.inner() else {
        return None;
    };
    let mut address = None;
    let mut prefix = None;
    for (key, value) in one.iter() {
        let value = if let Variant::Variant(inner) = value {
            &**inner
        } else {
            value
        };
        match (key, value) {
            (Variant::Str(key), Variant::Str(text)) if key == "address" => address = text.parse().ok(),
            (Variant::Str(key), Variant::U32(length)) if key == "prefix" => {
                prefix = u8::try_from(*length).ok();
            }
            _ => return None,
        }
    }
    Ipv4Net::new(address?, prefix?).ok()
}

fn wifi(received: &Received) -> Option<Wifi> {
    let ssid = String::from_utf8(bytes(received, "802-11-wireless", "ssid")?).ok()?;
    let priority = match value(received, "connection", "autoconnect-priority").map(|value| &**value) {
        Some(&Variant::I32(priority)) => priority,
        Some(_) => return None,
        None => 0,
    };
    Some(Wifi {
        ssid: Ssid::try_from(ssid).ok()?,
        hidden: value(received, "802-11-wireless", "hidden")
            .is_some_and(|hidden| **hidden == Variant::Bool(true)),
        priority,
        mac: match text(received, "802-11-wireless", "assigned-mac-address")? {
            "permanent" => MacPolicy::Permanent,
            "stable" => MacPolicy::Stable,
            "random" => MacPolicy::Random,
            fixed => MacPolicy::Fixed(fixed.parse().ok()?),
        },
        security: security(received)?,
    })
}

fn security(received: &Received) -> Option<Security> {
    let section = "802-11-wireless-security";
    if !received.contains_key(section) {
        return Some(Security::Open);
    }
    match text(received, section, "key-mgmt")? {
        "wpa-psk" => Some(Security::Wpa2 {
            passphrase: secret(received, section, "psk")?,
        }),
        "sae" => Some(Security::Wpa3 {
            passphrase: secret(received, section, "psk")?,
        }),
        "wpa-eap" => Some(Security::Enterprise(enterprise(received)?)),
        _ => None,
    }
}

fn enterprise(received: &Received) -> Option<Enterprise> {
    let section = "802-1x";
    let methods = Vec::<String>::try_from(value(received, section, "eap")?.clone()).ok()?;
    let [method] = methods.as_slice() else {
        return None;
    };
    let owned = |key| text(received, section, key).map(str::to_owned);
    Some(Enterprise {
        identity: owned("identity")?,
        anonymous_identity: owned("anonymous-identity"),
        method: match method.as_str() {
            "peap" => Method::Peap {
                password: secret(received, section, "password")?,
            },
            "ttls" => Method::Ttls {
                inner: match text(received, section, "phase2-auth")? {
                    "pap" => Inner::Pap,
                    "mschapv2" => Inner::Mschapv2,
                    _ => return None,
                },
                password: secret(received, section, "password")?,
            },
            "tls" => Method::Tls {
                certificate: file(received, section, "client-cert")?,
                key: file(received, section, "private-key")?,
                key_password: secret(received, section, "private-key-password")
                    .unwrap_or_else(|| Secret::new("")),
            },
            _ => return None,
        },
        server: Server {
            ca: match value(received, section, "ca-cert") {
                Some(_) => Some(file(received, section, "ca-cert")?),
                None => None,
            },
            name: owned("domain-suffix-match"),
        },
    })
}

/// Whether what was received says the same as what was sent; NetworkManager may add what is empty, and [`ITS_OWN`].
fn same(sent: &Sent, received: &Received) -> bool {
    let all_there = sent.iter().all(|(section, keys)| {
        keys.iter()
            .all(|(key, wanted)| value(received, section, key).is_some_and(|found| **found == *wanted))
    });
    let nothing_else = received.iter().all(|(section, keys)| {
        let sent = sent.get(section.as_str());
        keys.iter().all(|(key, value)| {
            sent.is_some_and(|keys| keys.contains_key(key.as_str()))
                || ITS_OWN.contains(&(section.as_str(), key.as_str()))
                || is_empty(value)
        })
    });
    all_there && nothing_else
}

fn is_empty(value: &OwnedVariant) -> bool {
    if let Variant::Array(array) = &**value {
        return array.is_empty();
    }
    if let Variant::Dict(dict) = &**value {
        return dict.iter().next().is_none();
    }
    **value == Variant::from("")
}

fn value<'a>(received: &'a Received, section: &str, key: &str) -> Option<&'a OwnedVariant> {
    received.get(section)?.get(key)
}

fn text<'a>(received: &'a Received, section: &str, key: &str) -> Option<&'a str> {
    <&str>::try_from(&**value(received, section, key)?).ok()
}

fn secret(received: &Received, section: &str, key: &str) -> Option<Secret> {
    text(received, section, key).map(Secret::new)
}

fn bytes(received: &Received, section: &str, key: &str) -> Option<Vec<u8>> {
    Vec::try_from(value(received, section, key)?.clone()).ok()
}

fn file(received: &Received, section: &str, key: &str) -> Option<String> {
    let bytes = bytes(received, section, key)?;
    let path = bytes.strip_prefix(b"file://")?.strip_suffix(b"\0")?;
    String::from_utf8(path.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATIC: &str = r#"{"interface":"eth0","kind":{"robot":{"static":"192.168.50.21/24"}}}"#;
    const PEAP: &str = r#"{"interface":"wlan0","kind":{"wifi":{"ssid":"eduroam","security":{"enterprise":{
        "identity":"me@uni.example","anonymous_identity":"anonymous@uni.example","method":{"peap":{"password":"p"}},
        "server":{"ca":"/etc/ca.pem","name":"radius.uni.example"}}}}}}"#;

    fn profiles() -> Vec<Profile> {
        let wifi = |security: &str, more: &str| {
            format!(
                r#"{{"interface":"wlan0","kind":{{"wifi":{{"ssid":"net","security":{security}{more}}}}}}}"#
            )
        };
        let enterprise = |method: &str, server: &str| {
            wifi(
                &format!(r#"{{"enterprise":{{"identity":"me","method":{method},"server":{server}}}}}"#),
                "",
            )
        };
        let texts = [
            STATIC.to_owned(),
            PEAP.to_owned(),
            r#"{"interface":"eth0","kind":{"robot":"dhcp"}}"#.to_owned(),
            r#"{"interface":"eth1","kind":"ethernet"}"#.to_owned(),
            r#"{"kind":{"modem":{"apn":"internet"}}}"#.to_owned(),
            wifi(r#""open""#, r#","hidden":true,"mac":"random""#),
            wifi(r#"{"wpa2":{"passphrase":"12345678"}}"#, r#","priority":7"#),
            wifi(r#"{"wpa3":{"passphrase":"s"}}"#, r#","mac":"stable""#),
            wifi(r#""open""#, r#","mac":{"fixed":"02:00:5e:00:53:0a"}"#),
            enterprise(
                r#"{"ttls":{"inner":"pap","password":"p"}}"#,
                r#"{"name":"uni.example"}"#,
            ),
            enterprise(
                r#"{"ttls":{"inner":"mschapv2","password":"p"}}"#,
                r#"{"ca":"/ca.pem"}"#,
            ),
            enterprise(
                r#"{"tls":{"certificate":"/c.pem","key":"/k.pem","key_password":"p"}}"#,
                r#"{"ca":"/ca.pem"}"#,
            ),
            enterprise(
                r#"{"tls":{"certificate":"/c.pem","key":"/k.pem","key_password":""}}"#,
                r#"{"ca":"/ca.pem"}"#,
            ),
        ];
        texts
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    fn received(profile: &Profile) -> Received {
        let owned = |value: Variant<'static>| OwnedVariant::try_from(value).unwrap();
        render(profile)
            .into_iter()
            .map(|(section, keys)| {
                let keys = keys
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), owned(value)));
                (section.to_owned(), keys.collect())
            })
            .collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for profile in profiles() {
            assert_eq!(read(&received(&profile)).as_ref(), Some(&profile));
        }
    }

    #[test]
    fn names_are_told_and_asked_for_on_every_network_but_the_robot_s() {
        for profile in profiles() {
            let profile_of = received(&profile);
            for key in ["mdns", "llmnr"] {
                let said = value(&profile_of, "connection", key).map(|value| &**value);
                // 0 is no (nm-settings-dbus(5)).
                let no = matches!(profile.kind, Kind::Robot(_)).then_some(&Variant::I32(0));
                assert_eq!(said, no, "{key} of {profile:?}");
            }
        }
    }

    #[test]
    fn a_profile_that_lacks_any_key_is_not_ours_any_more() {
        for profile in profiles() {
            let whole = received(&profile);
            for (section, keys) in &whole {
                for key in keys.keys() {
                    let mut less = whole.clone();
                    less.get_mut(section).unwrap().remove(key);
                    assert_ne!(read(&less).as_ref(), Some(&profile), "without {section}.{key}");
                }
            }
        }
    }

    #[test]
    fn a_profile_that_says_more_is_not_ours_any_more() {
        for profile in profiles() {
            let mut more = received(&profile);
            let connection = more.get_mut("connection").unwrap();
            connection.insert("autoconnect".to_owned(), OwnedVariant::from(false));
            assert_eq!(read(&more), None);
        }
    }

    #[test]
    fn what_networkmanager_adds_by_itself_changes_nothing() {
        for profile in profiles() {
            let mut more = received(&profile);
            let connection = more.get_mut("connection").unwrap();
            connection.insert("timestamp".to_owned(), OwnedVariant::from(1_u64));
            more.insert("proxy".to_owned(), HashMap::new());
            assert_eq!(read(&more).as_ref(), Some(&profile));
        }
    }

    #[test]
    fn only_our_mark_makes_a_profile_ours() {
        let mut theirs = received(&profiles()[0]);
        assert!(is_ours(&theirs));
        theirs.remove("user");
        assert!(!is_ours(&theirs));
    }
}
