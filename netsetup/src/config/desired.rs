//! What the settings mean for the network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use netsetup_core::desired::{Desired, Ingest, InterfaceChoice, Opening};
use netsetup_core::layout::Layout;
use netsetup_core::names::{CountryCode, InterfaceName};
use spotstream_core::ingest::directory::{LIST_HOST, Server};
use spotstream_core::names::Host;
use spotstream_settings::checker::absolute;
use spotstream_settings::{At, Checker, Field, Kind};

use super::fragment::{Fragment, Network, Stream};
use super::wifi;

const INTERFACE: (&str, &str) = (
    "the name or the hardware address of a network interface",
    "\"wlan0\" or \"00:c0:ca:12:34:56\"",
);
const OWN_ADDRESS: (&str, &str) = (
    "an address of the robot's network that ends in 10 to 254",
    "\"192.168.50.21\" (payload port) or \"10.0.0.21\" (rear port)",
);
const COUNTRY: (&str, &str) = ("the two letters of a country", "\"DE\"");
const APN: (&str, &str) = (
    "the access point name that your mobile operator gives, of letters, digits, '.', '-' and '_'",
    "\"internet\"",
);
const LAYOUTS: &[(&str, Option<Layout>)] = &[
    ("auto", None),
    ("payload", Some(Layout::Payload)),
    ("rear", Some(Layout::Rear)),
];
const OPENINGS: &[(&str, Opening)] = &[
    ("status-page", Opening::StatusPage),
    ("mdns", Opening::Mdns),
    ("ssh", Opening::Ssh),
];

/// Gives what is desired unless a problem stands against it.
pub(super) fn build(checker: &mut Checker, fragment: &Fragment) -> Option<Desired> {
    let network = &fragment.network;
    let robot_hosts = [&fragment.robot.hosts, &fragment.camera.hosts]
        .into_iter()
        .flat_map(addresses)
        .collect();
    let (robot_interface, uplink_interface) = interfaces(checker, fragment);
    let layout = checker.choice("network.layout", &network.layout, LAYOUTS);
    let own_address = own_address(checker, network, layout, &robot_hosts);
    let country = country(checker, network);
    let apn = checker.text("network.apn", &network.apn, APN, apn);
    let open = checker.choices("network.open", &network.open, OPENINGS);
    let wifi = wifi::networks(checker, &fragment.wifi);
    Some(Desired {
        robot_interface,
        uplink_interface,
        layout: layout?,
        own_address,
        robot_hosts,
        wifi,
        country,
        apn,
        open: open?.into_iter().collect(),
        ingest: ingest(&fragment.stream),
    })
}

fn interfaces(
    checker: &mut Checker,
    fragment: &Fragment,
) -> (Option<InterfaceChoice>, Option<InterfaceChoice>) {
    let network = &fragment.network;
    let mut link = |key, field: &Field<String>, daemons: &Field<String>| {
        let chosen = checker.text(key, field, INTERFACE, interface);
        let daemons = text(daemons).and_then(InterfaceName::parse);
        if let (Field::Given(at), Some(InterfaceChoice::Name(name)), Some(other)) = (field, &chosen, &daemons)
            && name != other
        {
            let sentence = "the daemon is told another interface in its own section; take that line away";
            checker.warn(&at.place, key, sentence);
        }
        chosen.or_else(|| daemons.map(InterfaceChoice::Name))
    };
    let robot = link(
        "network.robot_interface",
        &network.robot_interface,
        &fragment.robot.interface,
    );
    let uplink = link(
        "network.uplink_interface",
        &network.uplink_interface,
        &fragment.stream.interface,
    );
    if robot.is_some() && robot == uplink {
        let written = [
            ("network.uplink_interface", &network.uplink_interface),
            ("network.robot_interface", &network.robot_interface),
            ("stream.interface", &fragment.stream.interface),
        ];
        let first = written.into_iter().find_map(|(key, field)| match field {
            Field::Given(at) => Some((key, &at.place)),
            Field::Absent | Field::Wrong => None,
        });
        if let Some((key, place)) = first {
            let sentence =
                "the robot and the internet need an interface each: name another one, or leave it out";
            checker.problem(place, key, Kind::Conflict { sentence });
        }
    }
    (robot, uplink)
}

fn interface(text: &str) -> Option<InterfaceChoice> {
    let by_mac = text.parse().ok().map(InterfaceChoice::Mac);
    by_mac.or_else(|| InterfaceName::parse(text).map(InterfaceChoice::Name))
}

fn own_address(
    checker: &mut Checker,
    network: &Network,
    layout: Option<Option<Layout>>,
    robot_hosts: &BTreeSet<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let key = "network.own_address";
    let (address, port) = checker.text(key, &network.own_address, OWN_ADDRESS, |text| {
        let address: Ipv4Addr = text.parse().ok()?;
        let port = Layout::ALL
            .into_iter()
            .find(|port| port.network().contains(&address))?;
        let [.., last] = address.octets();
        // What is below belongs to the robot and its own payloads.
        (10..=254).contains(&last).then_some((address, port))
    })?;
    let Field::Given(at) = &network.own_address else {
        return None;
    };
    if layout.flatten().is_some_and(|chosen| chosen != port) {
        let sentence = "it is an address of the robot's other port: change it, or write layout = \"auto\"";
        checker.problem(&at.place, key, Kind::Conflict { sentence });
    } else if robot_hosts.contains(&address) {
        let sentence = "it is the robot's or the camera's own address; we need another one";
        checker.problem(&at.place, key, Kind::Conflict { sentence });
    }
    Some(address)
}

fn country(checker: &mut Checker, network: &Network) -> Option<CountryCode> {
    if let Field::Given(At { value, place }) = &network.country
        && value.eq_ignore_ascii_case("UK")
    {
        let sentence = "the two letters of the United Kingdom are \"GB\"";
        checker.problem(place, "network.country", Kind::Conflict { sentence });
        return None;
    }
    checker.text("network.country", &network.country, COUNTRY, |text| {
        CountryCode::try_from(text.to_owned()).ok()
    })
}

fn apn(text: &str) -> Option<String> {
    let fits = (1..=100).contains(&text.len());
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (fits && text.bytes().all(valid)).then(|| text.to_owned())
}

/// The server that the stream goes to, as the daemon chooses it.
fn ingest(stream: &Stream) -> Ingest {
    let other = text(&stream.url).and_then(|url| Server::parse(url).ok());
    let server = other.unwrap_or_else(|| {
        let named = text(&stream.server).filter(|server| *server != "auto");
        let host = named.and_then(Host::parse);
        Server::of_twitch(host.as_ref().map_or(LIST_HOST, Host::as_str), true)
    });
    Ingest {
        host: server.host,
        port: server.port,
        tls: server.tls,
        extra_ca: text(&stream.extra_ca)
            .filter(|path| absolute(path).is_some())
            .map(str::to_owned),
    }
}

/// The robot is reached over IPv4 alone.
fn addresses(hosts: &Field<Vec<String>>) -> Vec<Ipv4Addr> {
    let Field::Given(at) = hosts else {
        return Vec::new();
    };
    let parsed = at.value.iter().filter_map(|host| host.parse().ok());
    parsed
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect()
}

fn text(field: &Field<String>) -> Option<&str> {
    match field {
        Field::Given(at) => Some(&at.value),
        Field::Absent | Field::Wrong => None,
    }
}
