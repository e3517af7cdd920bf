//! What there is: one look at the kernel, at NetworkManager, and at who answers on the robot's cable.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use uuid::Uuid;

use crate::names::{CountryCode, InterfaceName, MacAddress, Ssid};
use crate::profile::Profile;
use crate::routing::{Route, Rule};

/// One look at the machine's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Observed {
    /// Network interfaces, without loopback, by name.
    pub links: Vec<Link>,
    /// IPv4 addresses.
    pub addresses: Vec<Address>,
    /// IPv4 routes in the main table and in [`crate::routing::ROBOT_TABLE`].
    pub routes: Vec<Route>,
    /// IPv4 rules that bear [`crate::routing::PROTOCOL`].
    pub rules: Vec<Rule>,
    /// Our nftables table as `nft -s list table` prints it; none when it is not loaded.
    pub firewall: Option<String>,
    /// The regulatory domain; none when the kernel has no WiFi.
    pub country: Option<CountryCode>,
    /// NetworkManager; none when it is not on the bus.
    pub manager: Option<Manager>,
    /// Who answered on the robot's cable.
    pub sightings: Sightings,
}

/// A network interface (rtnetlink(7), RTM_NEWLINK).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// The name.
    pub name: InterfaceName,
    /// What the interface is called by on the wire now.
    pub mac: MacAddress,
    /// What it was made with (IFLA_PERM_ADDRESS).
    #[serde(default)]
    pub permanent_mac: Option<MacAddress>,
    /// What it hangs on (IFLA_PARENT_DEV_BUS_NAME): "usb", "platform", "pci", "sdio", "virtio"; none for virtual ones.
    #[serde(default)]
    pub bus: Option<String>,
    /// IFF_UP.
    #[serde(default)]
    pub up: bool,
    /// IFF_LOWER_UP: there is a cable, or an association.
    #[serde(default)]
    pub carrier: bool,
    /// How often the carrier was lost (IFLA_CARRIER_DOWN_COUNT): a cable may be in another port before anybody looks.
    #[serde(default)]
    pub losses: u32,
    /// IPv4 settings of the interface.
    #[serde(default)]
    pub conf: LinkConf,
}

/// IPv4 settings of an interface (IFLA_INET_CONF; Documentation/networking/ip-sysctl.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkConf {
    /// Reverse path filter: 0 off, 1 strict, 2 loose.
    pub rp_filter: u32,
    /// Which ARP requests are answered.
    pub arp_ignore: u32,
    /// Which source addresses ARP requests bear.
    pub arp_announce: u32,
    /// Whether packets are passed on from here.
    pub forwarding: u32,
}

/// An IPv4 address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The interface.
    pub interface: InterfaceName,
    /// The address and its prefix.
    pub address: Ipv4Net,
}

/// What NetworkManager knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manager {
    /// Its devices, by name.
    pub devices: Vec<Device>,
    /// Its profiles that bear our mark, by UUID.
    pub profiles: Vec<StoredProfile>,
}

impl Manager {
    /// The device whose name, or whose data interface's name, this is.
    pub fn device(&self, interface: &str) -> Option<&Device> {
        self.devices.iter().find(|device| {
            let ip_interface = device.ip_interface.as_ref().map(InterfaceName::as_str);
            device.interface.as_str() == interface || ip_interface == Some(interface)
        })
    }
}

/// A device of NetworkManager (org.freedesktop.NetworkManager.Device).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The name; of a modem, its control port.
    pub interface: InterfaceName,
    /// The kind.
    pub kind: DeviceKind,
    /// NMDeviceState: 10 unmanaged, 20 unavailable, 30 disconnected, 40 to 90 on the way, 100 activated, 110 going, 120 failed.
    pub state: u32,
    /// NMDeviceStateReason.
    #[serde(default)]
    pub state_reason: u32,
    /// NMDeviceStateReason of the last attempt that failed, since the device was last in use or not there at all:
    /// NetworkManager itself forgets it within milliseconds.
    #[serde(default)]
    pub failure: Option<u32>,
    /// The UUID of the profile that is active or on its way.
    #[serde(default)]
    pub profile: Option<Uuid>,
    /// The name of the data interface, where it is another one than `interface`: modems.
    #[serde(default)]
    pub ip_interface: Option<InterfaceName>,
    /// The WiFi networks that are seen.
    #[serde(default)]
    pub seen: Vec<Ssid>,
    /// The way to the internet.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// DNS servers.
    #[serde(default)]
    pub name_servers: Vec<Ipv4Addr>,
    /// The server that gave us our address by DHCP.
    #[serde(default)]
    pub dhcp_server: Option<Ipv4Addr>,
}

/// NMDeviceType, as far as we know what to do with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// 1, and 20 (veth).
    Ethernet,
    /// 2.
    Wifi,
    /// 8.
    Modem,
    /// Anything else.
    Other,
}

/// A profile that netsetup made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredProfile {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it says; none where it says more or else than a profile of ours can.
    pub profile: Option<Profile>,
}

/// Who answered on the robot's cable since it was last plugged in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sightings {
    /// Whether everybody has been asked often enough that silence means absence.
    pub complete: bool,
    /// Who answered, by what hardware address; our own answers are not among them.
    pub answers: BTreeMap<Ipv4Addr, MacAddress>,
    /// Whether static addresses were tried long enough in vain that DHCP is worth a try.
    pub silent: bool,
}
