//! A [`Status`] as the properties of `org.spotstream.Network1`, and back.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use netsetup_core::status::{Found, Internet, Reason, Robot, Status, Uplink};
use zbus::OwnedVariant;

/// The value of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `s`; empty where there is nothing to say.
    Word(String),
    /// `b`.
    Flag(bool),
    /// `as`.
    Words(Vec<String>),
}

/// Values by the names of their properties.
pub type Properties = BTreeMap<&'static str, Value>;

/// Every property that follows from the status.
pub fn of(status: &Status) -> Properties {
    let Status {
        robot,
        uplink,
        internet,
        reason,
        notes,
    } = status;
    let word = |word: &Option<String>| Value::Word(word.clone().unwrap_or_default());
    let kind = |reason: &Option<Reason>| word(&reason.as_ref().map(|reason| reason.kind.clone()));
    let sentence = |reason: &Option<Reason>| word(&reason.as_ref().map(|reason| reason.sentence.clone()));
    BTreeMap::from([
        ("RobotInterface", word(&robot.interface)),
        ("RobotMac", word(&robot.mac)),
        ("RobotCarrier", Value::Flag(robot.carrier)),
        ("Layout", Value::Word(robot.layout.map_or("", name_of).to_owned())),
        ("RobotAddress", shown(robot.address)),
        ("OwnAddress", shown(robot.own_address)),
        ("RobotReady", Value::Flag(robot.ready)),
        ("RobotReasonKind", kind(&robot.reason)),
        ("RobotReason", sentence(&robot.reason)),
        ("UplinkInterface", word(&uplink.interface)),
        ("UplinkMac", word(&uplink.mac)),
        ("Ssid", word(&uplink.ssid)),
        ("UplinkAddress", shown(uplink.address)),
        ("Gateway", shown(uplink.gateway)),
        ("UplinkReady", Value::Flag(uplink.ready)),
        ("UplinkReasonKind", kind(&uplink.reason)),
        ("UplinkReason", sentence(&uplink.reason)),
        ("Internet", Value::Word(word_of(*internet).to_owned())),
        ("ReasonKind", kind(reason)),
        ("Reason", sentence(reason)),
        ("Notes", Value::Words(notes.clone())),
    ])
}

/// The properties that `now` has and `before` has not, or has otherwise.
pub fn changed(before: &Properties, now: &Properties) -> Properties {
    now.iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(&name, value)| (name, value.clone()))
        .collect()
}

/// What the bus says of the network. What is absent, or is not understood, is as if there were nothing to say: an
/// older or newer netsetup must not keep a stream from going on air.
pub fn read(properties: &HashMap<String, OwnedVariant>) -> Status {
    let read = Read(properties);
    Status {
        robot: Robot {
            interface: read.word("RobotInterface"),
            mac: read.word("RobotMac"),
            carrier: read.flag("RobotCarrier"),
            layout: read.word("Layout").as_deref().and_then(found),
            address: read.parsed("RobotAddress"),
            own_address: read.parsed("OwnAddress"),
            ready: read.flag("RobotReady"),
            reason: read.reason("RobotReasonKind", "RobotReason"),
        },
        uplink: Uplink {
            interface: read.word("UplinkInterface"),
            mac: read.word("UplinkMac"),
            ssid: read.word("Ssid"),
            address: read.parsed("UplinkAddress"),
            gateway: read.parsed("Gateway"),
            ready: read.flag("UplinkReady"),
            reason: read.reason("UplinkReasonKind", "UplinkReason"),
        },
        internet: internet(read.word("Internet").as_deref()),
        reason: read.reason("ReasonKind", "Reason"),
        notes: read.words("Notes"),
    }
}

fn shown(value: Option<impl ToString>) -> Value {
    Value::Word(value.map(|value| value.to_string()).unwrap_or_default())
}

const fn name_of(found: Found) -> &'static str {
    match found {
        Found::Payload => "payload",
        Found::Rear => "rear",
        Found::Dhcp => "dhcp",
    }
}

fn found(name: &str) -> Option<Found> {
    [Found::Payload, Found::Rear, Found::Dhcp]
        .into_iter()
        .find(|&found| name_of(found) == name)
}

const fn word_of(internet: Internet) -> &'static str {
    match internet {
        Internet::Unknown => "unknown",
        Internet::Yes => "yes",
        Internet::No => "no",
        Internet::CaptivePortal => "captive-portal",
    }
}

fn internet(word: Option<&str>) -> Internet {
    [Internet::Yes, Internet::No, Internet::CaptivePortal]
        .into_iter()
        .find(|&internet| Some(word_of(internet)) == word)
        .unwrap_or_default()
}

struct Read<'a>(&'a HashMap<String, OwnedVariant>);

impl Read<'_> {
    fn word(&self, name: &str) -> Option<String> {
        let word = <&str>::try_from(&**self.0.get(name)?).ok()?;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn flag(&self, name: &str) -> bool {
        self.0
            .get(name)
            .and_then(|value| bool::try_from(&**value).ok())
            .unwrap_or(false)
    }

    fn words(&self, name: &str) -> Vec<String> {
        self.0
            .get(name)
            .and_then(|value| Vec::<String>::try_from(value.clone()).ok())
            .unwrap_or_default()
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.word(name)?.parse().ok()
    }

    fn reason(&self, kind: &str, sentence: &str) -> Option<Reason> {
        let kind = self.word(kind)?;
        Some(Reason {
            kind,
            sentence: self.word(sentence).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zbus::{Str, Variant};

    use super::*;

    fn on_the_bus(properties: Properties) -> HashMap<String, OwnedVariant> {
        let owned = |value: Value| match value {
            Value::Word(word) => OwnedVariant::from(Str::from(word)),
            Value::Flag(flag) => OwnedVariant::from(flag),
            Value::Words(words) => OwnedVariant::try_from(Variant::from(words)).unwrap(),
        };
        properties
            .into_iter()
            .map(|(name, value)| (name.to_owned(), owned(value)))
            .collect()
    }

    fn a_word() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[a-z0-9:.-]{1,12}")
    }

    fn a_reason() -> impl Strategy<Value = Option<Reason>> {
        proptest::option::of(
            ("[a-z-]{1,12}", "[ -~]{1,20}").prop_map(|(kind, text)| Reason::new(&kind, text)),
        )
    }

    prop_compose! {
        fn a_status()(
            (interface, mac, uplink_interface, uplink_mac, ssid) in (a_word(), a_word(), a_word(), a_word(), a_word()),
            (carrier, ready, uplink_ready) in any::<(bool, bool, bool)>(),
            layout in prop::option::of(prop::sample::select(vec![Found::Payload, Found::Rear, Found::Dhcp])),
            (robot, own, uplink, gateway) in any::<(Option<[u8; 4]>, Option<[u8; 4]>, Option<[u8; 4]>, Option<[u8; 4]>)>(),
            internet in prop::sample::select(
                vec![Internet::Unknown, Internet::Yes, Internet::No, Internet::CaptivePortal]
            ),
            (robot_reason, uplink_reason, reason) in (a_reason(), a_reason(), a_reason()),
            notes in prop::collection::vec("[ -~]{0,20}", 0..4),
        ) -> Status {
            let net = |address: [u8; 4]| ipnet::Ipv4Net::new(address.into(), 24).unwrap();
            Status {
                robot: Robot {
                    interface, mac, carrier, layout, ready,
                    address: robot.map(Into::into),
                    own_address: own.map(net),
                    reason: robot_reason,
                },
                uplink: Uplink {
                    interface: uplink_interface,
                    mac: uplink_mac,
                    ssid,
                    address: uplink.map(net),
                    gateway: gateway.map(Into::into),
                    ready: uplink_ready,
                    reason: uplink_reason,
                },
                internet, reason, notes,
            }
        }
    }

    proptest! {
        #[test]
        fn a_status_comes_back_from_the_bus_as_it_was(status in a_status()) {
            prop_assert_eq!(read(&on_the_bus(of(&status))), status);
        }

        #[test]
        fn changes_upon_what_was_known_are_what_is_known_now(before in a_status(), now in a_status()) {
            let mut known = of(&before);
            known.extend(changed(&of(&before), &of(&now)));
            prop_assert_eq!(known, of(&now));
            prop_assert!(changed(&of(&now), &of(&now)).is_empty());
        }
    }

    #[test]
    fn what_is_not_understood_is_as_if_it_were_not_there() {
        let mut properties = on_the_bus(of(&Status::default()));
        for (name, value) in [
            ("OwnAddress", "here"),
            ("Layout", "roof"),
            ("Internet", "perhaps"),
            ("RobotReady", "yes"),
        ] {
            properties.insert(name.to_owned(), OwnedVariant::from(Str::from(value)));
        }
        assert_eq!(read(&properties), Status::default());
        assert_eq!(read(&HashMap::new()), Status::default());
    }
}
