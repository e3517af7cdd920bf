//! Rules and routes: ours are compared exactly, NetworkManager's are only asked for.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::scene::{ACTIVATED, Scene};
use super::{Draft, Side, Step};
use crate::layout::Layout;
use crate::names::InterfaceName;
use crate::observed::DeviceKind;
use crate::profile::{ETHERNET_METRIC, MODEM_METRIC, ROBOT_METRIC, RobotAddress, WIFI_METRIC};
use crate::routing::{
    MAIN_TABLE, NAME_SERVERS, PROTOCOL, ROBOT_ADDRESSES, ROBOT_HOSTS, ROBOT_SOCKETS, ROBOT_TABLE, Route,
    Rule, UPLINK_ADDRESSES, UPLINK_SOCKETS,
};

/// IP protocol numbers.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const DNS: u16 = 53;

/// Every address that stands for the robot or its camera: packets there leave by the robot's cable or not at all.
pub(super) fn robot_hosts(scene: &Scene<'_>) -> BTreeSet<Ipv4Addr> {
    let landmarks = Layout::ALL.iter().flat_map(|layout| layout.landmarks());
    // Who gave us an address on the cable is the robot, as far as anybody can tell.
    let by_dhcp = scene
        .robot_device()
        .filter(|_| scene.choice.address == Ok(RobotAddress::Dhcp))
        .and_then(|device| device.dhcp_server);
    let known = scene.desired.robot_hosts.iter().chain(landmarks).copied();
    known.chain(by_dhcp).collect()
}

pub(super) fn compare(scene: &Scene<'_>, draft: &mut Draft) {
    let routes = wanted_routes(scene);
    for (side, route) in &routes {
        if !scene.observed.routes.contains(route) {
            draft.push(*side, Step::AddRoute(route.clone()));
        }
    }
    let rules = wanted_rules(scene);
    for rule in &rules {
        if !scene.observed.rules.contains(rule) {
            draft.push(side_of(rule.priority), Step::AddRule(rule.clone()));
        }
    }
    let stale: BTreeSet<_> = scene
        .observed
        .rules
        .iter()
        .filter(|it| !rules.contains(it))
        .collect();
    for rule in stale {
        draft.push(
            rule.table.map_or(Side::Both, side),
            Step::DeleteRule(rule.clone()),
        );
    }
    let stale: BTreeSet<_> = scene
        .observed
        .routes
        .iter()
        .filter(|it| it.protocol == PROTOCOL && !routes.iter().any(|(_, route)| route == *it))
        .collect();
    for route in stale {
        draft.push(side(route.table), Step::DeleteRoute(route.clone()));
    }
}

/// Which side waits for a rule.
fn side_of(priority: u32) -> Side {
    match priority {
        ROBOT_SOCKETS..NAME_SERVERS | ROBOT_HOSTS.. => Side::Robot,
        _ => Side::Uplink,
    }
}

fn side(table: u32) -> Side {
    if table == ROBOT_TABLE {
        Side::Robot
    } else {
        Side::Uplink
    }
}

/// The robot's hosts come first: they are what must not leak.
fn wanted_rules(scene: &Scene<'_>) -> Vec<Rule> {
    let rule = |priority, table: Option<u32>| Rule {
        priority,
        from: None,
        to: None,
        oif: None,
        service: None,
        table,
    };
    // Behind each look into a table stands a rule that says no: should the table be emptied, or the one of the two rules
    // be deleted, until that is put right nothing goes the other way.
    let or_nowhere = |priority, table| [rule(priority, Some(table)), rule(priority + 1, None)];
    let mut rules: Vec<_> = robot_hosts(scene)
        .into_iter()
        .flat_map(|host| {
            or_nowhere(ROBOT_HOSTS, ROBOT_TABLE).map(|rule| Rule {
                to: Some(host),
                ..rule
            })
        })
        .collect();
    if let Some(link) = scene.uplink_link() {
        rules.push(Rule {
            oif: Some(link.name.clone()),
            ..rule(UPLINK_SOCKETS, Some(MAIN_TABLE))
        });
    }
    let sources = |priority, table, addresses: BTreeSet<Ipv4Addr>| {
        addresses.into_iter().flat_map(move |own| {
            or_nowhere(priority, table).map(|rule| Rule {
                from: Some(own),
                ..rule
            })
        })
    };
    let on_uplink = scene.uplink_addresses().iter().map(Ipv4Net::addr).collect();
    rules.extend(sources(UPLINK_ADDRESSES, MAIN_TABLE, on_uplink));
    if let Some(link) = scene.robot_link() {
        rules.push(Rule {
            oif: Some(link.name.clone()),
            ..rule(ROBOT_SOCKETS, Some(ROBOT_TABLE))
        });
    }
    let at_robot = scene
        .choice
        .own()
        .map_or_else(|| scene.robot_addresses(), |own| vec![own])
        .iter()
        .map(Ipv4Net::addr)
        .collect();
    rules.extend(sources(ROBOT_ADDRESSES, ROBOT_TABLE, at_robot));
    rules.extend([UDP, TCP].into_iter().flat_map(|protocol| {
        or_nowhere(NAME_SERVERS, MAIN_TABLE).map(|rule| Rule {
            service: Some((protocol, DNS)),
            ..rule
        })
    }));
    rules
}

/// What bears our mark: the route that stops what must not leak, and what somebody deleted under NetworkManager's hands.
fn wanted_routes(scene: &Scene<'_>) -> Vec<(Side, Route)> {
    let dead_end = Route {
        table: ROBOT_TABLE,
        destination: Ipv4Net::default(),
        interface: None,
        gateway: None,
        source: None,
        metric: u32::MAX,
        protocol: PROTOCOL,
    };
    let mut routes = vec![(Side::Both, dead_end)];
    routes.extend(robot_routes(scene).into_iter().map(|it| (Side::Robot, it)));
    routes.extend(uplink_routes(scene).into_iter().map(|it| (Side::Uplink, it)));
    routes.retain(|(_, route)| !is_made_by_others(scene, route));
    routes
}

/// Whether the same way is already there without our mark, whatever its metric.
fn is_made_by_others(scene: &Scene<'_>, wanted: &Route) -> bool {
    wanted.interface.is_some()
        && scene.observed.routes.iter().any(|route| {
            route.protocol != PROTOCOL
                && route.table == wanted.table
                && route.destination == wanted.destination
                && route.interface == wanted.interface
                && route.gateway == wanted.gateway
                && (route.source.is_none() || route.source == wanted.source)
        })
}

fn robot_routes(scene: &Scene<'_>) -> Vec<Route> {
    let Some(device) = scene.robot_device().filter(|it| it.state == ACTIVATED) else {
        return Vec::new();
    };
    let is_ours = |own: &Ipv4Net| match scene.choice.address {
        Ok(RobotAddress::Static(chosen)) => chosen == *own,
        Ok(RobotAddress::Dhcp) => true,
        Err(_) => false,
    };
    scene
        .robot_addresses()
        .into_iter()
        .filter(is_ours)
        .filter_map(|own| on_link(ROBOT_TABLE, &device.interface, own, ROBOT_METRIC))
        .collect()
}

fn uplink_routes(scene: &Scene<'_>) -> Vec<Route> {
    let device = scene.uplink_device().filter(|it| it.state == ACTIVATED);
    let (Some(device), Some(link)) = (device, scene.uplink_link()) else {
        return Vec::new();
    };
    let addresses = scene.uplink_addresses();
    let networks = addresses
        .iter()
        .filter_map(|own| on_link(MAIN_TABLE, &link.name, *own, metric(device.kind)));
    // A gateway outside of our network needs a route of its own, which is NetworkManager's to find out.
    let default = device.gateway.and_then(|gateway| {
        let own = addresses.iter().find(|own| own.contains(&gateway))?;
        Some(Route {
            table: MAIN_TABLE,
            destination: Ipv4Net::default(),
            interface: Some(link.name.clone()),
            gateway: Some(gateway),
            source: Some(own.addr()),
            metric: metric(device.kind),
            protocol: PROTOCOL,
        })
    });
    networks.chain(default).collect()
}

/// The route to the hosts of our own network; a network of one or two addresses has none.
fn on_link(table: u32, interface: &InterfaceName, own: Ipv4Net, metric: u32) -> Option<Route> {
    (own.prefix_len() < 31).then(|| Route {
        table,
        destination: own.trunc(),
        interface: Some(interface.clone()),
        gateway: None,
        source: Some(own.addr()),
        metric,
        protocol: PROTOCOL,
    })
}

/// The metric of our profiles on the uplink.
fn metric(kind: DeviceKind) -> u32 {
    match kind {
        DeviceKind::Wifi => WIFI_METRIC,
        DeviceKind::Ethernet => ETHERNET_METRIC,
        DeviceKind::Modem | DeviceKind::Other => MODEM_METRIC,
    }
}
