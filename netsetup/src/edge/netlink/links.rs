//! Links and addresses as the kernel tells them (rtnetlink(7), linux/if_link.h).

use std::net::IpAddr;

use ipnet::Ipv4Net;
use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netsetup_core::names::{InterfaceName, MacAddress};
use netsetup_core::observed::{Address, Link, LinkConf};

const IFLA_INET_CONF: u16 = 1;

// linux/ip.h, `enum` after `ipv4_devconf`.
const IPV4_DEVCONF_FORWARDING: u16 = 1;
const IPV4_DEVCONF_RP_FILTER: u16 = 8;
const IPV4_DEVCONF_ARP_ANNOUNCE: u16 = 18;
const IPV4_DEVCONF_ARP_IGNORE: u16 = 19;

/// All links; without their counters, which nobody reads.
pub(super) fn all() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

/// All IPv4 addresses.
pub(super) fn all_addresses() -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    RouteNetlinkMessage::GetAddress(message)
}

/// A link; none for loopback, and for a name that no interface of ours can have.
pub(super) fn read(message: &LinkMessage) -> Option<Link> {
    if message.header.flags.contains(LinkFlags::Loopback) {
        return None;
    }
    let mut name = None;
    let mut link = Link {
        index: message.header.index,
        name: InterfaceName::parse("unnamed")?,
        // A modem in raw IP mode has none.
        mac: MacAddress([0; 6]),
        permanent_mac: None,
        bus: None,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        losses: 0,
        conf: LinkConf::default(),
    };
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name = InterfaceName::parse(text);
        } else if let LinkAttribute::Address(bytes) = attribute {
            link.mac = mac(bytes).unwrap_or(link.mac);
        } else if let LinkAttribute::PermAddress(bytes) = attribute {
            link.permanent_mac = mac(bytes);
        } else if let LinkAttribute::CarrierDownCount(losses) = attribute {
            link.losses = *losses;
        } else if let LinkAttribute::ParentDevBusName(text) = attribute {
            link.bus = Some(text.clone());
        } else if let LinkAttribute::AfSpecUnspec(families) = attribute {
            link.conf = conf(families).unwrap_or_default();
        }
    }
    link.name = name?;
    Some(link)
}

fn mac(bytes: &[u8]) -> Option<MacAddress> {
    bytes.try_into().ok().map(MacAddress)
}

fn conf(families: &[AfSpecUnspec]) -> Option<LinkConf> {
    let inet = families.iter().find_map(|family| {
        let AfSpecUnspec::Inet(inet) = family else {
            return None;
        };
        Some(inet)
    })?;
    let conf = inet.iter().find_map(|attribute| {
        let AfSpecInet::DevConf(conf) = attribute else {
            return None;
        };
        Some(conf)
    })?;
    let number = |value: i32| u32::try_from(value).unwrap_or_default();
    Some(LinkConf {
        rp_filter: number(conf.rp_filter),
        arp_ignore: number(conf.arp_ignore),
        arp_announce: number(conf.arp_announce),
        forwarding: number(conf.forwarding),
    })
}

/// An IPv4 address of one of these links.
pub(super) fn read_address(message: &AddressMessage, links: &[Link]) -> Option<Address> {
    let link = links.iter().find(|link| link.index == message.header.index)?;
    // IFA_LOCAL is ours; IFA_ADDRESS is the other end's on a point-to-point link (linux/if_addr.h).
    let address = message.attributes.iter().find_map(|attribute| {
        let AddressAttribute::Local(IpAddr::V4(address)) = attribute else {
            return None;
        };
        Some(*address)
    })?;
    Some(Address {
        interface: link.name.clone(),
        address: Ipv4Net::new(address, message.header.prefix_len).ok()?,
    })
}

/// Sets IPv4 settings of an interface, without `/proc/sys` (`inet_set_link_af` in net/ipv4/devinet.c).
///
/// The interface is named, not numbered: so the kernel finds it, and a name in a request by number renames it.
/// netlink-packet-route leaves out settings that are 0, so these bytes are laid by hand.
pub(super) fn configure(interface: &InterfaceName, conf: LinkConf) -> RouteNetlinkMessage {
    let settings = [
        (IPV4_DEVCONF_FORWARDING, conf.forwarding),
        (IPV4_DEVCONF_RP_FILTER, conf.rp_filter),
        (IPV4_DEVCONF_ARP_ANNOUNCE, conf.arp_announce),
        (IPV4_DEVCONF_ARP_IGNORE, conf.arp_ignore),
    ]
    .map(|(number, value)| DefaultNla::new(number, value.to_ne_bytes().to_vec()));
    let settings = settings.as_slice();
    let mut bytes = vec![0; settings.buffer_len()];
    settings.emit(&mut bytes);
    let inet = AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, bytes));

    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(interface.as_str().to_owned()),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![inet])]),
    ];
    RouteNetlinkMessage::SetLink(message)
}

/// The number of an interface.
pub(super) fn by_name(interface: &InterfaceName) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(interface.as_str().to_owned()),
        LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
    ];
    RouteNetlinkMessage::GetLink(message)
}
