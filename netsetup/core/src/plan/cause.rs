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
        DISCONNECTED | NEED_AUTH | FAILED => {
            of_failure(scene, device, device.state_reason).or_else(|| remembered(scene, device))
        }
        _ => remembered(scene, device),
    };
    reason.map_or(Standing::ComingUp, Standing::Not)
}

/// What the last attempt failed of: it stays true until one succeeds.
fn remembered(scene: &Scene<'_>, device: &Device) -> Option<Reason> {
    // Which network it was is not known; while one is tried, it may be another one than that.
    let is_known = device.state == DISCONNECTED
        || device.kind != DeviceKind::Wifi
        || in_reach(scene, device).nth(1).is_none();
    let failure = device.failure.filter(|_| is_known)?;
    of_failure(scene, device, failure)
}

fn of_failure(scene: &Scene<'_>, device: &Device, failure: u32) -> Option<Reason> {
    match device.kind {
        DeviceKind::Wifi => wifi(scene, device, failure),
        DeviceKind::Modem => modem(scene, device, failure),
        DeviceKind::Ethernet | DeviceKind::Other => wired(device, failure),
    }
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

fn wired(device: &Device, failure: u32) -> Option<Reason> {
    matches!(failure, 5 | 6 | 15..=17).then(|| no_address(device))
}

fn wifi(scene: &Scene<'_>, device: &Device, failure: u32) -> Option<Reason> {
    let networks = &scene.desired.wifi;
    if networks.is_empty() {
        return Some(Reason::new(
            "no-wifi-configured",
            "the settings name no WiFi network: write its name and password under [wifi]",
        ));
    }
    let Some(tried) = used(scene, device).or_else(|| in_reach(scene, device).next()) else {
        return Some(not_seen(networks, device));
    };
    match failure {
        7 => Some(refused(tried)),
        8..=11 if device.state == NEED_AUTH && device.state_reason == failure => Some(refused(tried)),
        8..=11 => Some(not_joined(tried)),
        5 | 6 | 15..=17 => Some(no_address(device)),
        // A hidden network is in reach only as far as we know, and one that was not seen then may be seen now.
        53 if !device.seen.contains(&tried.ssid) => Some(not_seen(networks, device)),
        _ => None,
    }
}

/// Our networks that can be tried now, the best first.
fn in_reach<'a>(scene: &Scene<'a>, device: &Device) -> impl Iterator<Item = &'a Wifi> {
    let networks = scene.desired.wifi.iter();
    networks.filter(|wifi| wifi.hidden || device.seen.contains(&wifi.ssid))
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
    let advice = advice(&wifi.security);
    Reason::new(
        "wifi-wrong-password",
        format!("the WiFi network {} does not let us in: {advice}", quoted(wifi)),
    )
}

/// It was there, but did not answer as it should: bad radio looks like a wrong password, and the other way round.
fn not_joined(wifi: &Wifi) -> Reason {
    let advice = advice(&wifi.security);
    Reason::new(
        "wifi-not-joined",
        format!(
            "the WiFi network {} does not let us in: its signal may be too weak here; if it is not, {advice}",
            quoted(wifi)
        ),
    )
}

fn advice(security: &Security) -> &'static str {
    match security {
        Security::Enterprise(_) => "check user name, password, and the certificate authority or server name",
        Security::Wpa2 { .. } | Security::Wpa3 { .. } => "check its password, capital letters included",
        Security::Open => "see whether it wants a password",
    }
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

fn modem(scene: &Scene<'_>, device: &Device, failure: u32) -> Option<Reason> {
    let name = &device.interface;
    let (kind, sentence) = match failure {
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
