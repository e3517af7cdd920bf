//! What NetworkManager's objects say of its devices.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use netsetup_core::names::{InterfaceName, Ssid};
use netsetup_core::observed::{Device, DeviceKind};
use uuid::Uuid;
use zbus::fdo::ManagedObjects;
use zbus::{ObjectPath, OwnedVariant, Variant};

use super::Failures;

/// NM_DEVICE_STATE_ACTIVATED.
const ACTIVATED: u32 = 100;
/// NM_DEVICE_TYPE_LOOPBACK.
const LOOPBACK: u32 = 32;

type Properties = HashMap<String, OwnedVariant>;

/// Every device but loopback, by name.
pub(super) fn devices(objects: &ManagedObjects, failures: &Failures) -> Vec<Device> {
    let mut devices: Vec<_> = objects
        .keys()
        .filter_map(|path| {
            Some(Device {
                failure: failures.of(path.as_str()),
                ..device(objects, path.as_str())?
            })
        })
        .collect();
    devices.sort_by(|a, b| a.interface.as_str().cmp(b.interface.as_str()));
    devices
}

/// The paths of all profiles, and the names of their files.
pub(super) fn profiles(objects: &ManagedObjects) -> Vec<(String, String)> {
    let interface = "org.freedesktop.NetworkManager.Settings.Connection";
    objects
        .keys()
        .filter_map(|path| {
            let profile = properties(objects, path.as_str(), interface)?;
            Some((path.as_str().to_owned(), text(profile, "Filename")?.to_owned()))
        })
        .collect()
}

/// The paths of the checkpoints that NetworkManager undoes after this many seconds.
pub(super) fn checkpoints(objects: &ManagedObjects, timeout: u32) -> Vec<String> {
    let interface = "org.freedesktop.NetworkManager.Checkpoint";
    objects
        .keys()
        .filter(|path| {
            properties(objects, path.as_str(), interface)
                .is_some_and(|checkpoint| number(checkpoint, "RollbackTimeout") == Some(timeout))
        })
        .map(|path| path.as_str().to_owned())
        .collect()
}

/// The path of a device by its name.
pub(super) fn device_path(objects: &ManagedObjects, name: &InterfaceName) -> Option<String> {
    let interface = "org.freedesktop.NetworkManager.Device";
    let is_it = |path: &str| {
        properties(objects, path, interface)
            .is_some_and(|device| text(device, "Interface") == Some(name.as_str()))
    };
    objects
        .keys()
        .map(|path| path.as_str())
        .find(|path| is_it(path))
        .map(str::to_owned)
}

/// Whether the device at `path` is up with that profile.
pub(super) fn uses(objects: &ManagedObjects, path: &str, uuid: Uuid) -> bool {
    device(objects, path).is_some_and(|device| device.state == ACTIVATED && device.profile == Some(uuid))
}

fn device(objects: &ManagedObjects, path: &str) -> Option<Device> {
    let device = properties(objects, path, "org.freedesktop.NetworkManager.Device")?;
    let of = |key: &str, interface: &str| properties(objects, object(device, key)?, interface);
    let active = of(
        "ActiveConnection",
        "org.freedesktop.NetworkManager.Connection.Active",
    );
    let ip4 = of("Ip4Config", "org.freedesktop.NetworkManager.IP4Config");
    let options = of("Dhcp4Config", "org.freedesktop.NetworkManager.DHCP4Config")
        .and_then(|dhcp| Properties::try_from(dhcp.get("Options")?.clone()).ok())
        .unwrap_or_default();
    let kind = match number(device, "DeviceType")? {
        1 | 20 => DeviceKind::Ethernet,
        2 => DeviceKind::Wifi,
        8 => DeviceKind::Modem,
        LOOPBACK => return None,
        _ => DeviceKind::Other,
    };
    let interface = name(device, "Interface")?;
    Some(Device {
        kind,
        state: number(device, "State")?,
        state_reason: reason(device)?,
        failure: None,
        profile: active
            .and_then(|active| text(active, "Uuid"))
            .and_then(|uuid| uuid.parse().ok()),
        ip_interface: name(device, "IpInterface").filter(|name| *name != interface),
        interface,
        seen: seen(objects, path),
        // NetworkManager forgets a gateway whose route somebody deletes; the lease does not.
        gateway: text(&options, "routers")
            .and_then(|routers| routers.split_whitespace().next()?.parse().ok())
            .or_else(|| address(ip4?, "Gateway")),
        name_servers: ip4.map(name_servers).unwrap_or_default(),
        dhcp_server: address(&options, "dhcp_server_identifier"),
    })
}

/// The networks that say their name, each once.
fn seen(objects: &ManagedObjects, path: &str) -> Vec<Ssid> {
    let wireless = properties(objects, path, "org.freedesktop.NetworkManager.Device.Wireless");
    let Some(Variant::Array(points)) =
        wireless.and_then(|wireless| wireless.get("AccessPoints").map(|all| &**all))
    else {
        return Vec::new();
    };
    let names: HashSet<String> = points
        .inner()
        .iter()
        .filter_map(|point| {
            let Variant::ObjectPath(path) = point else {
                return None;
            };
            properties(
                objects,
                path.as_str(),
                "org.freedesktop.NetworkManager.AccessPoint",
            )
        })
        .filter_map(|point| Vec::<u8>::try_from(point.get("Ssid")?.clone()).ok())
        .filter_map(|bytes| String::from_utf8(bytes).ok())
        .collect();
    let mut seen: Vec<_> = names
        .into_iter()
        .filter_map(|name| Ssid::try_from(name).ok())
        .collect();
    seen.sort();
    seen
}

fn name_servers(ip4: &Properties) -> Vec<Ipv4Addr> {
    let servers = ip4
        .get("NameserverData")
        .and_then(|data| Vec::<Properties>::try_from(data.clone()).ok());
    servers
        .unwrap_or_default()
        .iter()
        .filter_map(|server| address(server, "address"))
        .collect()
}

fn properties<'a>(objects: &'a ManagedObjects, path: &str, interface: &str) -> Option<&'a Properties> {
    objects.get(&ObjectPath::try_from(path).ok()?)?.get(interface)
}

fn text<'a>(properties: &'a Properties, key: &str) -> Option<&'a str> {
    <&str>::try_from(&**properties.get(key)?).ok()
}

fn name(properties: &Properties, key: &str) -> Option<InterfaceName> {
    InterfaceName::parse(text(properties, key)?)
}

fn address(properties: &Properties, key: &str) -> Option<Ipv4Addr> {
    text(properties, key)?.parse().ok()
}

fn number(properties: &Properties, key: &str) -> Option<u32> {
    u32::try_from(&**properties.get(key)?).ok()
}

fn object<'a>(properties: &'a Properties, key: &str) -> Option<&'a str> {
    let Variant::ObjectPath(path) = &**properties.get(key)? else {
        return None;
    };
    Some(path.as_str())
}

/// The second number of `StateReason`.
fn reason(device: &Properties) -> Option<u32> {
    let (_, reason) = <(u32, u32)>::try_from(device.get("StateReason")?.clone()).ok()?;
    Some(reason)
}
