//! Which interface leads to the robot, and which to the internet.
//!
//! What a person names is taken, whatever it is. Without a name the robot's is an Ethernet port of the board itself,
//! and the uplink the first of: a USB WiFi stick, the board's WiFi, a USB Ethernet adapter or phone, a modem. Virtual
//! interfaces count only by name.

use std::fmt;

use crate::desired::{Desired, InterfaceChoice};
use crate::names::InterfaceName;
use crate::observed::{Device, DeviceKind, Link, Observed};
use crate::profile::Kind;
use crate::status::Reason;

/// Which interface is which, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The interface to the robot.
    pub robot: Result<InterfaceName, Reason>,
    /// The interface to the internet.
    pub uplink: Result<Uplink, Reason>,
    /// What was guessed where a person may mean something else.
    pub notes: Vec<String>,
}

/// The interface to the internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// What NetworkManager calls it: of a modem, its control port.
    pub device: InterfaceName,
    /// What packets leave by.
    pub interface: InterfaceName,
    /// The kind, which decides on the profile.
    pub kind: DeviceKind,
}

/// Finds out which interface is which. The same answer follows from the same look.
pub fn select(desired: &Desired, observed: &Observed) -> Selection {
    let named_robot = desired
        .robot_interface
        .as_ref()
        .map(|choice| find(choice, "robot_interface", observed));
    let named_uplink = desired
        .uplink_interface
        .as_ref()
        .map(|choice| find(choice, "uplink_interface", observed));
    if let (Some(Ok(robot)), Some(Ok(uplink))) = (&named_robot, &named_uplink)
        && uplink.names().any(|name| robot.names().any(|it| it == name))
    {
        let reason = Reason::new(
            "same-interface",
            format!(
                "the settings name '{}' both for the robot and for the internet; they need two interfaces",
                robot.interface
            ),
        );
        return Selection {
            robot: Err(reason.clone()),
            uplink: Err(reason),
            notes: Vec::new(),
        };
    }
    let mut notes = Vec::new();
    let robot = named_robot.map_or_else(
        || on_board_ethernet(observed, named_uplink.as_ref().and_then(|it| it.as_ref().ok())),
        |named| named.map(|it| it.interface),
    );
    let uplink =
        named_uplink.unwrap_or_else(|| first_uplink(desired, observed, robot.as_ref().ok(), &mut notes));
    Selection { robot, uplink, notes }
}

/// What kind of interface this is: NetworkManager knows; without it, the kernel's and systemd's names tell.
pub(crate) fn kind(name: &InterfaceName, observed: &Observed) -> DeviceKind {
    if let Some(device) = device(name, observed) {
        return device.kind;
    }
    match name.as_str().get(..2) {
        Some("wl") => DeviceKind::Wifi,
        Some("ww") => DeviceKind::Modem,
        _ => DeviceKind::Ethernet,
    }
}

/// NetworkManager's device behind an interface.
pub(crate) fn device<'a>(name: &InterfaceName, observed: &'a Observed) -> Option<&'a Device> {
    let devices = &observed.manager.as_ref()?.devices;
    devices
        .iter()
        .find(|device| device.interface == *name)
        .or_else(|| {
            devices
                .iter()
                .find(|device| device.ip_interface.as_ref() == Some(name))
        })
}

/// The kernel's interface of this name.
pub(crate) fn link<'a>(name: &InterfaceName, observed: &'a Observed) -> Option<&'a Link> {
    observed.links.iter().find(|link| link.name == *name)
}

impl Uplink {
    fn of(name: &InterfaceName, observed: &Observed) -> Self {
        let device = device(name, observed);
        Self {
            device: device.map_or(name, |it| &it.interface).clone(),
            interface: device
                .and_then(|it| it.ip_interface.as_ref())
                .unwrap_or(name)
                .clone(),
            kind: kind(name, observed),
        }
    }

    fn names(&self) -> impl Iterator<Item = &InterfaceName> {
        [&self.device, &self.interface].into_iter()
    }
}

fn find(choice: &InterfaceChoice, key: &str, observed: &Observed) -> Result<Uplink, Reason> {
    let (wanted, found) = match choice {
        InterfaceChoice::Name(name) => (
            name.to_string(),
            (link(name, observed).is_some() || device(name, observed).is_some()).then_some(name),
        ),
        InterfaceChoice::Mac(mac) => (
            mac.to_string(),
            observed
                .links
                .iter()
                .find(|link| link.permanent_mac == Some(*mac))
                .or_else(|| observed.links.iter().find(|link| link.mac == *mac))
                .map(|link| &link.name),
        ),
    };
    found
        .map(|name| Uplink::of(name, observed))
        .ok_or_else(|| not_there(key, &wanted, observed))
}

fn not_there(key: &str, wanted: &dyn fmt::Display, observed: &Observed) -> Reason {
    Reason::new(
        "interface-not-there",
        format!(
            "the settings say {key} = \"{wanted}\", but there is no such interface; there {}",
            inventory(observed)
        ),
    )
}

fn inventory(observed: &Observed) -> String {
    let names: Vec<_> = observed
        .links
        .iter()
        .map(|link| format!("{} ({})", link.name, link.permanent_mac.unwrap_or(link.mac)))
        .collect();
    match names.as_slice() {
        [] => "is none at all".to_owned(),
        [one] => format!("is {one}"),
        _ => format!("are {}", in_words(&names)),
    }
}

/// "a", "a and b", "a, b and c".
pub(crate) fn in_words(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., last] => format!("{} and {last}", many.join(", ")),
    }
}

fn on_board_ethernet(observed: &Observed, uplink: Option<&Uplink>) -> Result<InterfaceName, Reason> {
    let ports: Vec<_> = observed
        .links
        .iter()
        .filter(|link| link.bus.as_deref().is_some_and(|bus| bus != "usb"))
        .filter(|link| kind(&link.name, observed) == DeviceKind::Ethernet)
        .filter(|link| uplink.is_none_or(|uplink| uplink.names().all(|name| *name != link.name)))
        .collect();
    let plugged: Vec<_> = ports.iter().filter(|link| link.carrier).copied().collect();
    let candidates = if plugged.is_empty() { &ports } else { &plugged };
    match candidates.as_slice() {
        [] => Err(Reason::new(
            "no-robot-interface",
            "this computer has no Ethernet port of its own for the robot's cable; \
             if the robot is at another interface, write its name as robot_interface under [network]",
        )),
        [one] => Ok(one.name.clone()),
        // A port that served the robot before keeps doing so: pulling a cable makes no new guess.
        several => several
            .iter()
            .find(|link| serves_the_robot(&link.name, observed))
            .map(|link| link.name.clone())
            .ok_or_else(|| {
                let mut names: Vec<_> = several.iter().map(|link| link.name.to_string()).collect();
                names.sort();
                Reason::new(
                    "several-robot-interfaces",
                    format!(
                        "the robot may be at {}; write which one as robot_interface under [network], \
                         or leave only the robot's cable plugged in",
                        either(&names)
                    ),
                )
            }),
    }
}

/// "a", "a or b", "a, b or c".
pub(crate) fn either(names: &[String]) -> String {
    match names {
        [many @ .., last] if !many.is_empty() => format!("{} or {last}", many.join(", ")),
        _ => in_words(names),
    }
}

fn serves_the_robot(name: &InterfaceName, observed: &Observed) -> bool {
    observed.manager.iter().flat_map(|it| &it.profiles).any(|stored| {
        stored.profile.as_ref().is_some_and(|profile| {
            matches!(profile.kind, Kind::Robot(_)) && profile.interface.as_ref() == Some(name)
        })
    })
}

/// The order in which interfaces are taken for the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    UsbWifi,
    OnBoardWifi,
    UsbEthernet,
    Modem,
}

impl Rank {
    fn of(link: &Link, observed: &Observed) -> Option<Self> {
        let usb = link.bus.as_deref()? == "usb";
        match kind(&link.name, observed) {
            DeviceKind::Wifi if usb => Some(Self::UsbWifi),
            DeviceKind::Wifi => Some(Self::OnBoardWifi),
            DeviceKind::Ethernet if usb => Some(Self::UsbEthernet),
            // A modem counts by its control port, which NetworkManager knows.
            DeviceKind::Ethernet | DeviceKind::Modem | DeviceKind::Other => None,
        }
    }

    fn is_wifi(self) -> bool {
        matches!(self, Self::UsbWifi | Self::OnBoardWifi)
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::UsbWifi => "USB WiFi sticks",
            Self::OnBoardWifi => "WiFi interfaces",
            Self::UsbEthernet => "USB network adapters",
            Self::Modem => "modems",
        }
    }
}

fn first_uplink(
    desired: &Desired,
    observed: &Observed,
    robot: Option<&InterfaceName>,
    notes: &mut Vec<String>,
) -> Result<Uplink, Reason> {
    let links = observed
        .links
        .iter()
        .filter(|link| Some(&link.name) != robot && !is_named_for_robot(desired, link))
        .filter_map(|link| Some((Rank::of(link, observed)?, link.name.clone())));
    let modems = observed
        .manager
        .iter()
        .flat_map(|manager| &manager.devices)
        .filter(|device| device.kind == DeviceKind::Modem)
        .filter(|device| Some(&device.interface) != robot && device.ip_interface.as_ref() != robot)
        .map(|device| (Rank::Modem, device.interface.clone()));
    let mut all: Vec<_> = links.chain(modems).collect();
    all.sort();
    all.dedup();
    let rank = all
        .iter()
        .find(|(rank, name)| !rank.is_wifi() || may_connect(desired, observed, name))
        // A WiFi that nobody told us a network for is better than nothing: its reason says what to write.
        .or_else(|| all.first())
        .map(|(rank, _)| *rank)
        .ok_or_else(nothing_there)?;
    let names: Vec<_> = all
        .iter()
        .filter(|(it, _)| *it == rank)
        .map(|(_, name)| name)
        .collect();
    let first = names.first().ok_or_else(nothing_there)?;
    if let Some(other) = names.get(1) {
        let words: Vec<_> = names.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "there are {} {}: {}. {first} is used; to use {other}, write uplink_interface = \"{other}\" under [network]",
            words.len(),
            rank.in_words(),
            in_words(&words),
        ));
    }
    Ok(Uplink::of(first, observed))
}

fn nothing_there() -> Reason {
    Reason::new(
        "no-uplink-interface",
        "there is nothing that leads to the internet: plug in a USB WiFi stick, a USB network adapter, a phone or a modem",
    )
}

fn is_named_for_robot(desired: &Desired, link: &Link) -> bool {
    match &desired.robot_interface {
        None => false,
        Some(InterfaceChoice::Name(name)) => link.name == *name,
        Some(InterfaceChoice::Mac(mac)) => link.permanent_mac.unwrap_or(link.mac) == *mac,
    }
}

/// Whether somebody told us a network for it, or connected it without us.
fn may_connect(desired: &Desired, observed: &Observed, name: &InterfaceName) -> bool {
    let is_ours = |uuid| {
        let mut profiles = observed.manager.iter().flat_map(|it| &it.profiles);
        profiles.any(|stored| Some(stored.uuid) == uuid)
    };
    !desired.wifi.is_empty()
        || device(name, observed).is_some_and(|it| it.state == 100 && !is_ours(it.profile))
}
