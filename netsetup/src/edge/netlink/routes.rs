//! Routes as the kernel tells and takes them (linux/rtnetlink.h).

use std::fmt::Write;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::Link;
use netsetup_core::routing::{MAIN_TABLE, ROBOT_TABLE, Route};

/// All IPv4 routes.
pub(super) fn all() -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    RouteNetlinkMessage::GetRoute(message)
}

/// The routes that a message tells, in the tables that matter to us: one for each way of a multipath route.
///
/// "blackhole", "prohibit" and "throw" have no interface either, and are told as "unreachable"; only others make them,
/// so their protocol is not ours.
pub(super) fn read(message: &RouteMessage, links: &[Link]) -> Vec<Route> {
    let mut table = u32::from(message.header.table);
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let (mut way, mut more_ways) = (Way::default(), Vec::new());
    let (mut source, mut metric) = (None, 0);
    for attribute in &message.attributes {
        way.read(attribute);
        if let RouteAttribute::Table(number) = attribute {
            table = *number;
        } else if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
            destination = *address;
        } else if let RouteAttribute::PrefSource(RouteAddress::Inet(address)) = attribute {
            source = Some(*address);
        } else if let RouteAttribute::Priority(number) = attribute {
            metric = *number;
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            for hop in hops {
                let mut way = Way {
                    index: Some(hop.interface_index),
                    gateway: None,
                };
                hop.attributes.iter().for_each(|attribute| way.read(attribute));
                more_ways.push(way);
            }
        }
    }
    let ways = match (leads_on(message.header.kind), more_ways.is_empty()) {
        (None, _) => return Vec::new(),
        (Some(false), _) => vec![Way::default()],
        (Some(true), true) => vec![way],
        (Some(true), false) => more_ways,
    };
    let Ok(destination) = Ipv4Net::new(destination, message.header.destination_prefix_length) else {
        return Vec::new();
    };
    if ![MAIN_TABLE, ROBOT_TABLE].contains(&table) {
        return Vec::new();
    }
    let told = |way: Way| {
        let interface = match way.index {
            // Loopback, or a link that has come since the links were listed.
            Some(index) => Some(links.iter().find(|link| link.index == index)?.name.clone()),
            None => None,
        };
        Some(Route {
            table,
            destination,
            interface,
            gateway: way.gateway,
            source,
            metric,
            protocol: message.header.protocol.into(),
        })
    };
    ways.into_iter().filter_map(told).collect()
}

#[derive(Default)]
struct Way {
    index: Option<u32>,
    gateway: Option<Ipv4Addr>,
}

impl Way {
    fn read(&mut self, attribute: &RouteAttribute) {
        if let RouteAttribute::Oif(index) = attribute {
            self.index = Some(*index);
        } else if let RouteAttribute::Gateway(RouteAddress::Inet(address)) = attribute {
            self.gateway = Some(*address);
        }
    }
}

/// Whether packets go on from here; none where the route is not about sending at all.
fn leads_on(kind: RouteType) -> Option<bool> {
    const DEAD_ENDS: [RouteType; 4] = [
        RouteType::Unreachable,
        RouteType::BlackHole,
        RouteType::Prohibit,
        RouteType::Throw,
    ];
    if kind == RouteType::Unicast {
        return Some(true);
    }
    DEAD_ENDS.contains(&kind).then_some(false)
}

/// The route in the kernel's words, to be made. `index` is its interface's number.
pub(super) fn write(route: &Route, index: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = route.destination.prefix_len();
    message.header.protocol = route.protocol.into();
    message.header.kind = if index.is_some() {
        RouteType::Unicast
    } else {
        RouteType::Unreachable
    };
    message.header.scope = if index.is_some() && route.gateway.is_none() {
        RouteScope::Link
    } else {
        RouteScope::Universe
    };
    let address = RouteAddress::Inet;
    message.attributes = vec![
        RouteAttribute::Table(route.table),
        RouteAttribute::Destination(address(route.destination.network())),
        RouteAttribute::Priority(route.metric),
    ];
    message.attributes.extend(index.map(RouteAttribute::Oif));
    message.attributes.extend(
        route
            .gateway
            .map(|gateway| RouteAttribute::Gateway(address(gateway))),
    );
    message.attributes.extend(
        route
            .source
            .map(|source| RouteAttribute::PrefSource(address(source))),
    );
    message
}

/// The route in the kernel's words, to be taken away: of any scope, and whatever kind of dead end it is.
pub(super) fn write_for_deletion(route: &Route, index: Option<u32>) -> RouteMessage {
    let mut message = write(route, index);
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unspec;
    message
}

/// As `ip route` writes it.
pub(super) fn describe(route: &Route) -> String {
    let kind = if route.interface.is_some() {
        ""
    } else {
        "unreachable "
    };
    let mut text = format!("{kind}{}", route.destination);
    // Writing to a string does not fail.
    let _ = || -> std::fmt::Result {
        if let Some(gateway) = route.gateway {
            write!(text, " via {gateway}")?;
        }
        if let Some(interface) = &route.interface {
            write!(text, " dev {}", InterfaceName::as_str(interface))?;
        }
        if let Some(source) = route.source {
            write!(text, " src {source}")?;
        }
        write!(text, " metric {} table {}", route.metric, route.table)
    }();
    text
}
