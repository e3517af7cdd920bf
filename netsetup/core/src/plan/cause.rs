//! Why the uplink does not work, from the device's state (NMDeviceState, NMDeviceStateReason).

use super::scene::{ACTIVATED, DISCONNECTED, FAILED, NEED_AUTH, Scene, UNAVAILABLE, UNMANAGED};
use crate::names::InterfaceName;
use crate::observed::{Device, DeviceKind};
use crate::profile::{Kind, Security, Wifi};
use crate::select::in_words;
use crate::status::Reason;

use super::status::Standing;

/// NetworkManager is not there.
pub(super) fn manager_not_running() -> Reason {
    Reason::new(
        "network-manager-not-running",
        "NetworkManager is not running, so nothing can be connected; it should start again within seconds",
    )
}

/// NetworkManager is there, but leaves the interface alone.
pub(super) fn not_managed(name: &InterfaceName) -> Reason {
    Reason::new(
        "interface-not-managed",
        format!("NetworkManager does not take care of {name} yet"),
    )
}

/// How the uplink stands by its device alone. NetworkManager tries again by itself what did not work once.
pub(super) fn of_uplink(scene: &Scene<'_>, device: &Device) -> Standing {
    let reason = match device.state {
        0..=UNMANAGED => Some(not_managed(&device.interface)),
        UNAVAILABLE => Some(unavailable(device)),
        ACTIVATED => {
            return in_use(scene, device).map_or(Standing::Ready, Standing::Not);
        }
        DISCONNECTED | NEED_AUTH | FAILED => match device.kind {
            DeviceKind::Wifi => wifi(scene, device),
            DeviceKind::Modem => modem(scene, device),
            DeviceKind::Ethernet | DeviceKind::Other => wired(device),
        },
        _ => None,
    };
    reason.map_or(Standing::ComingUp, Standing::Not)
}

fn unavailable(device: &Device) -> Reason {
    let name = &device.interface;
    match device.kind {
        DeviceKind::Wifi if device.state_reason == 35 => Reason::new(
            "wifi-firmware-missing",
            format!("the WiFi {name} needs a firmware that this system does not have; take another stick"),
        ),
        DeviceKind::Wifi => Reason::new(
            "wifi-unavailable",
            format!("the WiFi {name} is not ready: it is just starting, or its radio is switched off"),
        ),
        DeviceKind::Modem => Reason::new(
            "modem-unavailable",
            format!("the modem {name} is not ready: it is just starting, or it has no SIM card"),
        ),
        DeviceKind::Ethernet | DeviceKind::Other => Reason::new(
            "uplink-cable-unplugged",
            format!("{name}, which should lead to the internet, has no cable or nothing at its other end."),
        ),
    }
}

fn in_use(scene: &Scene<'_>, device: &Device) -> Option<Reason> {
    let name = &device.interface;
    if scene.uplink_addresses().is_empty() {
        return Some(no_address(device));
    }
    let is_default = |route: &&crate::routing::Route| {
        route.table == crate::routing::MAIN_TABLE
            && route.destination.prefix_len() == 0
            && scene
                .uplink_link()
                .is_some_and(|link| route.interface.as_ref() == Some(&link.name))
    };
    if device.gateway.is_none() && !scene.observed.routes.iter().any(|it| is_default(&it)) {
        return Some(Reason::new(
            "uplink-no-gateway",
            format!("{name} is connected, but the network there names no way to the internet."),
        ));
    }
    None
}

fn no_address(device: &Device) -> Reason {
    let kind = match device.kind {
        DeviceKind::Wifi => "wifi-no-address",
        DeviceKind::Modem => "modem-no-address",
        DeviceKind::Ethernet | DeviceKind::Other => "uplink-no-address",
    };
    Reason::new(
        kind,
        format!(
            "{} is connected, but the network there gives it no address (DHCP); \
             it may be full, or want our hardware address registered first.",
            device.interface
        ),
    )
}

fn wired(device: &Device) -> Option<Reason> {
    matches!(device.state_reason, 5 | 6 | 15..=17).then(|| no_address(device))
}

fn wifi(scene: &Scene<'_>, device: &Device) -> Option<Reason> {
    let networks = &scene.desired.wifi;
    if networks.is_empty() {
        return Some(Reason::new(
            "no-wifi-configured",
            "the settings name no WiFi network: write its name and password under [wifi]",
        ));
    }
    let in_reach: Vec<_> = networks
        .iter()
        .filter(|wifi| wifi.hidden || device.seen.contains(&wifi.ssid))
        .collect();
    let tried = used(scene, device).or(in_reach.first().copied());
    match (device.state_reason, tried) {
        (7..=11, Some(wifi)) => Some(refused(wifi)),
        (5 | 6 | 15..=17, _) => Some(no_address(device)),
        (53, _) => Some(not_seen(networks, device)),
        (_, Some(wifi)) if device.state == NEED_AUTH => Some(refused(wifi)),
        _ => in_reach.is_empty().then(|| not_seen(networks, device)),
    }
}

/// The network that the device uses or has last tried, where it is one of ours.
pub(super) fn used<'a>(scene: &Scene<'a>, device: &Device) -> Option<&'a Wifi> {
    let profile = device.profile?;
    let stored = scene.profiles().iter().find(|it| it.uuid == profile)?;
    match &stored.profile.as_ref()?.kind {
        Kind::Wifi(wifi) => Some(wifi),
        Kind::Robot(_) | Kind::Ethernet | Kind::Modem { .. } => None,
    }
}

fn refused(wifi: &Wifi) -> Reason {
    let ssid = quoted(wifi);
    let sentence = match wifi.security {
        Security::Enterprise(_) => format!(
            "the WiFi network {ssid} does not let us in: check user name, password, and the certificate authority \
             or server name"
        ),
        Security::Wpa2 { .. } | Security::Wpa3 { .. } => {
            format!(
                "the WiFi network {ssid} does not let us in: check its password, capital letters included"
            )
        }
        Security::Open => format!("the WiFi network {ssid} does not let us in; it may want a password"),
    };
    Reason::new("wifi-wrong-password", sentence)
}

/// So many networks of strangers are named.
const MOST_SHOWN: usize = 5;

fn not_seen(networks: &[Wifi], device: &Device) -> Reason {
    let wanted: Vec<_> = networks.iter().map(quoted).collect();
    let seen: Vec<_> = device
        .seen
        .iter()
        .take(MOST_SHOWN)
        .map(|ssid| format!("{:?}", ssid.as_str()))
        .collect();
    let seen = if seen.is_empty() {
        "no network at all".to_owned()
    } else {
        in_words(&seen)
    };
    Reason::new(
        "wifi-not-seen",
        format!(
            "{} does not see the WiFi network {}; it sees {seen}.",
            device.interface,
            in_words(&wanted)
        ),
    )
}

/// Quoted, so that nobody's network name can break the line.
fn quoted(wifi: &Wifi) -> String {
    format!("{:?}", wifi.ssid.as_str())
}

fn modem(scene: &Scene<'_>, device: &Device) -> Option<Reason> {
    let name = &device.interface;
    let (kind, sentence) = match device.state_reason {
        45 => ("modem-no-sim", format!("the modem {name} has no SIM card")),
        34 | 46..=48 | 59 => (
            "modem-sim-locked",
            format!("the SIM card of the modem {name} wants a PIN; switch its PIN off in a phone first"),
        ),
        30..=33 => (
            "modem-no-network",
            format!("the modem {name} finds no mobile network that lets it in"),
        ),
        29 => (
            "modem-wrong-apn",
            format!("the mobile network refuses the access point name; check apn under [network] for {name}"),
        ),
        5 | 6 | 15..=17 => return Some(no_address(device)),
        _ if scene.desired.apn.is_none() => (
            "modem-no-apn",
            format!(
                "the modem {name} needs the access point name of its SIM card: write it as apn under [network]"
            ),
        ),
        25..=28 | 43 | 52 | 57 => (
            "modem-failed",
            format!("the modem {name} does not work; pull it out and plug it in again"),
        ),
        _ => return None,
    };
    Some(Reason::new(kind, sentence))
}
