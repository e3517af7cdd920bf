//! Routes and rules (ip-route(8), ip-rule(8); linux/rtnetlink.h, linux/fib_rules.h).
//!
//! The robot's routes stand in a table of their own, everything else in the main table. Overlapping networks are told
//! apart by socket: who is bound to an interface, or to an address of ours, uses that side's table; who is not, and
//! calls one of the robot's hosts, uses the robot's.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::names::InterfaceName;

/// The routing table of the robot's side.
pub const ROBOT_TABLE: u32 = 21328;
/// The kernel's main table, where NetworkManager puts the uplink's routes.
pub const MAIN_TABLE: u32 = 254;
/// The mark of what netsetup made (rtm_protocol, FRA_PROTOCOL).
pub const PROTOCOL: u8 = 83;

/// The priority of the rule for sockets bound to the uplink.
pub const UPLINK_SOCKETS: u32 = 100;
/// Of packets from our address on the uplink; the rule behind it says no.
pub const UPLINK_ADDRESSES: u32 = 102;
/// Of sockets bound to the robot's interface.
pub const ROBOT_SOCKETS: u32 = 104;
/// Of packets from our address on the robot's side; the rule behind it says no.
pub const ROBOT_ADDRESSES: u32 = 106;
/// Of DNS: the robot is nobody's name server; the rule behind it says no.
pub const NAME_SERVERS: u32 = 110;
/// Of the robot's hosts; the rule behind it says no.
pub const ROBOT_HOSTS: u32 = 120;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The table.
    pub table: u32,
    /// Where to.
    pub destination: Ipv4Net,
    /// By which interface; none says "unreachable".
    #[serde(default)]
    pub interface: Option<InterfaceName>,
    /// By which host.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// From which address of ours.
    #[serde(default)]
    pub source: Option<Ipv4Addr>,
    /// Smaller is taken first.
    #[serde(default)]
    pub metric: u32,
    /// Who made it.
    #[serde(default)]
    pub protocol: u8,
}

/// A rule for packets of our own (`iif lo`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Smaller is asked first.
    pub priority: u32,
    /// Sockets bound to this address of ours.
    #[serde(default)]
    pub from: Option<Ipv4Addr>,
    /// Packets to this host.
    #[serde(default)]
    pub to: Option<Ipv4Addr>,
    /// Sockets bound to this interface.
    #[serde(default)]
    pub oif: Option<InterfaceName>,
    /// This IP protocol (6 TCP, 17 UDP) and destination port.
    #[serde(default)]
    pub service: Option<(u8, u16)>,
    /// The table to look into; none says "unreachable".
    #[serde(default)]
    pub table: Option<u32>,
}
