//! What a person wants of the network, from the settings.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::layout::Layout;
use crate::names::{CountryCode, InterfaceName, MacAddress};
use crate::profile::Wifi;

/// Everything that the settings say about the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The interface to the robot, where a person named one.
    pub robot_interface: Option<InterfaceChoice>,
    /// The interface to the internet, where a person named one.
    pub uplink_interface: Option<InterfaceChoice>,
    /// Which port of the robot we are plugged into; found out where it is `None`.
    pub layout: Option<Layout>,
    /// Our address on the robot's network, where a person chose one.
    pub own_address: Option<Ipv4Addr>,
    /// Every address that the daemon calls the robot or its camera by: these never leave by the uplink.
    pub robot_hosts: BTreeSet<Ipv4Addr>,
    /// WiFi networks, the best first.
    pub wifi: Vec<Wifi>,
    /// Which channels and power are allowed here.
    pub country: Option<CountryCode>,
    /// The access point name of a cellular network.
    pub apn: Option<String>,
    /// What may be reached from the uplink.
    pub open: BTreeSet<Opening>,
    /// Where the stream goes: what the internet check asks for.
    pub ingest: Ingest,
}

/// How a person names an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceChoice {
    /// By its name.
    Name(InterfaceName),
    /// By its permanent hardware address.
    Mac(MacAddress),
}

/// What may be reached from the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opening {
    /// The status page, TCP 80.
    StatusPage,
    /// The name `spotstream.local`, UDP 5353.
    Mdns,
    /// SSH, TCP 22.
    Ssh,
}

/// The server that the internet check asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether it speaks TLS at once.
    pub tls: bool,
    /// PEM file of one more certificate authority.
    pub extra_ca: Option<String>,
}
