//! Rules as the kernel tells and takes them (linux/fib_rules.h).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange};
use netlink_packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};
use netsetup_core::names::InterfaceName;
use netsetup_core::routing::{PROTOCOL, Rule};

/// Packets of our own come in from nowhere else.
const OUR_OWN: &str = "lo";

// linux/fib_rules.h; not yet known to netlink-packet-route.
const FRA_DPORT_MASK: u16 = 29;

/// All IPv4 rules.
pub(super) fn all() -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    RouteNetlinkMessage::GetRule(message)
}

/// A rule that bears our mark and says nothing that [`Rule`] cannot say; with one word more it is somebody else's.
pub(super) fn read(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    if header.family != AddressFamily::Inet
        || !matches!(header.action, RuleAction::ToTable | RuleAction::Unreachable)
        || header.flags.contains(RuleFlags::Invert)
        || header.tos != 0
    {
        return None;
    }
    let mut rule = Rule {
        priority: 0,
        from: None,
        to: None,
        oif: None,
        service: None,
        table: Some(u32::from(header.table)),
    };
    let (mut mark, mut incoming, mut protocol, mut port) = (0, None, None, None);
    for attribute in &message.attributes {
        if let RuleAttribute::Priority(priority) = attribute {
            rule.priority = *priority;
        } else if let RuleAttribute::Table(table) = attribute {
            rule.table = Some(*table);
        } else if let RuleAttribute::Source(IpAddr::V4(address)) = attribute {
            rule.from = host(*address, header.src_len);
            rule.from?;
        } else if let RuleAttribute::Destination(IpAddr::V4(address)) = attribute {
            rule.to = host(*address, header.dst_len);
            rule.to?;
        } else if let RuleAttribute::Oifname(name) = attribute {
            rule.oif = Some(InterfaceName::parse(name)?);
        } else if let RuleAttribute::Iifname(name) = attribute {
            incoming = Some(name.as_str());
        } else if let RuleAttribute::IpProtocol(number) = attribute {
            protocol = Some(u8::from(*number));
        } else if let RuleAttribute::DestinationPortRange(range) = attribute {
            port = (range.start == range.end).then_some(range.start);
            port?;
        } else if let RuleAttribute::Protocol(who) = attribute {
            mark = u8::from(*who);
        } else if *attribute != RuleAttribute::SuppressPrefixLen(u32::MAX) && !is_whole_port(attribute) {
            // The kernel writes "suppress nothing" into each rule.
            return None;
        }
    }
    rule.service = match (protocol, port) {
        (None, None) => None,
        (Some(protocol), Some(port)) => Some((protocol, port)),
        (Some(_), None) | (None, Some(_)) => return None,
    };
    if header.action == RuleAction::Unreachable {
        rule.table = None;
    }
    (mark == PROTOCOL && incoming == Some(OUR_OWN)).then_some(rule)
}

/// Linux 6.15 and later write into each rule with a port that all of its bits count.
fn is_whole_port(attribute: &RuleAttribute) -> bool {
    *attribute == RuleAttribute::Other(DefaultNla::new(FRA_DPORT_MASK, u16::MAX.to_ne_bytes().to_vec()))
}

fn host(address: Ipv4Addr, length: u8) -> Option<Ipv4Addr> {
    (length == 32).then_some(address)
}

/// The rule in the kernel's words.
pub(super) fn write(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = match rule.table {
        Some(_) => RuleAction::ToTable,
        None => RuleAction::Unreachable,
    };
    let attributes = &mut message.attributes;
    attributes.extend(rule.table.map(RuleAttribute::Table));
    attributes.extend([
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(PROTOCOL.into()),
        RuleAttribute::Iifname(OUR_OWN.to_owned()),
    ]);
    if let Some(address) = rule.from {
        message.header.src_len = 32;
        attributes.push(RuleAttribute::Source(address.into()));
    }
    if let Some(address) = rule.to {
        message.header.dst_len = 32;
        attributes.push(RuleAttribute::Destination(address.into()));
    }
    if let Some(oif) = &rule.oif {
        attributes.push(RuleAttribute::Oifname(oif.as_str().to_owned()));
    }
    if let Some((protocol, port)) = rule.service {
        attributes.push(RuleAttribute::IpProtocol(IpProtocol::from(protocol)));
        attributes.push(RuleAttribute::DestinationPortRange(RulePortRange {
            start: port,
            end: port,
        }));
    }
    message
}

/// As `ip rule` writes it.
pub(super) fn describe(rule: &Rule) -> String {
    let mut text = format!("{}: iif {OUR_OWN}", rule.priority);
    // Writing to a string does not fail.
    let _ = || -> std::fmt::Result {
        if let Some(address) = rule.from {
            write!(text, " from {address}")?;
        }
        if let Some(address) = rule.to {
            write!(text, " to {address}")?;
        }
        if let Some(oif) = &rule.oif {
            write!(text, " oif {oif}")?;
        }
        if let Some((protocol, port)) = rule.service {
            write!(text, " ipproto {protocol} dport {port}")?;
        }
        match rule.table {
            Some(table) => write!(text, " lookup {table}"),
            None => write!(text, " unreachable"),
        }
    }();
    text
}
