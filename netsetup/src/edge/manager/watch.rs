//! Notices from NetworkManager that something has changed.

use std::num::NonZeroUsize;

use futures_util::StreamExt;
use futures_util::stream::select_all;
use tokio::sync::mpsc;
use zbus::message::{Message, Type};
use zbus::{Connection, MatchRule, MessageStream};

use super::Failures;
use super::proxy::NAME;

/// A device, a lease, a profile, or NetworkManager itself has come, gone or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed;

const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const STATE_CHANGED: &str = "StateChanged";
const OWNER_CHANGED: &str = "NameOwnerChanged";

/// Objects whose properties are of interest. The strength of access points, the bit rate of WiFi and the counters of
/// devices change all the time; they are properties of other interfaces.
const PROPERTIES: [&str; 3] = [
    DEVICE,
    "org.freedesktop.NetworkManager.IP4Config",
    "org.freedesktop.NetworkManager.DHCP4Config",
];

/// Signals of interest: interface and name.
const SIGNALS: [(&str, &str); 8] = [
    (DEVICE, STATE_CHANGED),
    ("org.freedesktop.NetworkManager", "DeviceAdded"),
    ("org.freedesktop.NetworkManager", "DeviceRemoved"),
    ("org.freedesktop.NetworkManager.Settings", "NewConnection"),
    ("org.freedesktop.NetworkManager.Settings", "ConnectionRemoved"),
    ("org.freedesktop.NetworkManager.Settings.Connection", "Updated"),
    (
        "org.freedesktop.NetworkManager.Device.Wireless",
        "AccessPointAdded",
    ),
    (
        "org.freedesktop.NetworkManager.Device.Wireless",
        "AccessPointRemoved",
    ),
];

/// What a stream may hold back before the bus waits; a notice is taken at once, it only has to be counted.
const QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Sends [`Changed`] until the receiver is gone, which is a good end, or the bus is.
///
/// As long as the receiver has not taken the last one, those that follow are the same news to it: a channel of
/// capacity 1 merges a burst without any delay. What cannot be looked at any more is kept in `failures` before.
pub(super) async fn watch(
    connection: &Connection,
    failures: &Failures,
    changes: &mpsc::Sender<Changed>,
) -> zbus::Result<()> {
    let mut streams = Vec::new();
    for rule in rules()? {
        streams.push(MessageStream::for_match_rule(rule, connection, Some(QUEUE)).await?);
    }
    let mut signals = select_all(streams);
    // What was known may have changed while nobody listened.
    failures.forget();
    // What changed before anybody listened.
    let _ = changes.try_send(Changed);
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Some(Ok(signal)) => {
                    remember(&signal, failures);
                    let _ = changes.try_send(Changed);
                }
                Some(Err(error)) => return Err(error),
                None => return Err(zbus::Error::Failure("the bus is gone".to_owned())),
            },
            () = changes.closed() => return Ok(()),
        }
    }
}

fn remember(signal: &Message, failures: &Failures) {
    let header = signal.header();
    let (member, path) = (header.member(), header.path());
    match member.map(|member| member.as_str()) {
        Some(OWNER_CHANGED) => failures.forget(),
        Some(STATE_CHANGED) => {
            // The new state, the old one, the reason.
            let body = signal.body().deserialize::<(u32, u32, u32)>();
            if let (Some(path), Ok((state, _, reason))) = (path, body) {
                failures.changed(path.as_str(), state, reason);
            }
        }
        _ => {}
    }
}

fn rules() -> zbus::Result<Vec<MatchRule<'static>>> {
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let mut rules = vec![
        signal()
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member(OWNER_CHANGED)
            .arg(0, NAME)
            .build()?,
    ];
    for interface in PROPERTIES {
        rules.push(
            signal()
                .sender(NAME)
                .interface("org.freedesktop.DBus.Properties")
                .member("PropertiesChanged")
                .arg(0, interface)
                .build()?,
        );
    }
    for (interface, member) in SIGNALS {
        rules.push(
            signal()
                .sender(NAME)
                .interface(interface)
                .member(member)
                .build()?,
        );
    }
    Ok(rules)
}
