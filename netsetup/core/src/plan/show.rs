//! Steps in one line each, for the log and for tests. Secrets and files stay out.

use std::fmt;

use uuid::Uuid;

use super::Step;
use super::routing::{TCP, UDP};
use crate::profile::{Enterprise, Kind, MacPolicy, Method, Profile, RobotAddress, Security, Wifi};
use crate::routing::{MAIN_TABLE, ROBOT_TABLE, Route, Rule};

impl fmt::Display for Step {
    /// One line without a secret, for the log and for tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadFirewall(_) => f.write_str("load the firewall"),
            Self::ConfigureLink(name, conf) => write!(
                f,
                "configure {name}: rp_filter {} arp_ignore {} arp_announce {} forwarding {}",
                conf.rp_filter, conf.arp_ignore, conf.arp_announce, conf.forwarding
            ),
            Self::SetCountry(country) => write!(f, "set country {country}"),
            Self::AddRule(rule) => write!(f, "add rule {}", Shown(rule)),
            Self::DeleteRule(rule) => write!(f, "delete rule {}", Shown(rule)),
            Self::AddRoute(route) => write!(f, "add route {}", Shown(route)),
            Self::DeleteRoute(route) => write!(f, "delete route {}", Shown(route)),
            Self::Manage(name) => write!(f, "manage {name}"),
            Self::AddProfile(profile) => write!(f, "add profile {}", Shown(profile)),
            Self::UpdateProfile(profile) => write!(f, "update profile {}", Shown(profile)),
            Self::DeleteProfile(uuid) => write!(f, "delete profile {}", Shown(uuid)),
            Self::Activate(uuid, None) => write!(f, "activate {}", Shown(uuid)),
            Self::Activate(uuid, Some(name)) => write!(f, "activate {} on {name}", Shown(uuid)),
        }
    }
}

struct Shown<'a, T>(&'a T);

impl fmt::Display for Shown<'_, Rule> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        write!(f, "{}:", rule.priority)?;
        if let Some(from) = rule.from {
            write!(f, " from {from}")?;
        }
        if let Some(to) = rule.to {
            write!(f, " to {to}")?;
        }
        if let Some(oif) = &rule.oif {
            write!(f, " oif {oif}")?;
        }
        if let Some((protocol, port)) = rule.service {
            match protocol {
                TCP => write!(f, " tcp dport {port}"),
                UDP => write!(f, " udp dport {port}"),
                other => write!(f, " ipproto {other} dport {port}"),
            }?;
        }
        match rule.table {
            Some(table) => write!(f, " lookup {}", Table(table)),
            None => f.write_str(" unreachable"),
        }
    }
}

impl fmt::Display for Shown<'_, Route> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.0;
        if route.interface.is_none() && route.gateway.is_none() {
            f.write_str("unreachable ")?;
        }
        if route.destination.prefix_len() == 0 {
            f.write_str("default")?;
        } else {
            write!(f, "{}", route.destination)?;
        }
        if let Some(gateway) = route.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(interface) = &route.interface {
            write!(f, " dev {interface}")?;
        }
        if let Some(source) = route.source {
            write!(f, " src {source}")?;
        }
        write!(f, " metric {} table {}", route.metric, Table(route.table))
    }
}

struct Table(u32);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MAIN_TABLE => f.write_str("main"),
            ROBOT_TABLE => f.write_str("robot"),
            other => write!(f, "{other}"),
        }
    }
}

impl fmt::Display for Shown<'_, Profile> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug escapes what a network's name may hold.
        write!(f, "{:?}", self.0.id())?;
        if let Some(interface) = &self.0.interface {
            write!(f, " on {interface}")?;
        }
        match &self.0.kind {
            Kind::Robot(RobotAddress::Static(own)) => write!(f, ": {own}"),
            Kind::Robot(RobotAddress::Dhcp) => f.write_str(": DHCP"),
            Kind::Wifi(wifi) => write!(f, ": {}", Shown(wifi)),
            Kind::Ethernet => Ok(()),
            Kind::Modem { apn } => write!(f, ": APN {apn:?}"),
        }
    }
}

impl fmt::Display for Shown<'_, Uuid> {
    /// Its name, where that is always the same one; of WiFi networks a step knows no more than the UUID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apn = String::new();
        let known = [
            Kind::Robot(RobotAddress::Dhcp),
            Kind::Ethernet,
            Kind::Modem { apn },
        ]
        .map(|kind| Profile {
            interface: None,
            kind,
        })
        .into_iter()
        .find(|profile| profile.uuid() == *self.0);
        match known {
            Some(profile) => write!(f, "{:?}", profile.id()),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Shown<'_, Wifi> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.security {
            Security::Open => f.write_str("open"),
            Security::Wpa2 { .. } => f.write_str("WPA2"),
            Security::Wpa3 { .. } => f.write_str("WPA3"),
            Security::Enterprise(enterprise) => write!(f, "{}", Shown(enterprise)),
        }?;
        if self.0.hidden {
            f.write_str(", hidden")?;
        }
        match self.0.mac {
            MacPolicy::Permanent => f.write_str(", permanent MAC"),
            MacPolicy::Stable => f.write_str(", stable MAC"),
            MacPolicy::Random => f.write_str(", random MAC"),
            MacPolicy::Fixed(mac) => write!(f, ", MAC {mac}"),
        }?;
        write!(f, ", priority {}", self.0.priority)
    }
}

impl fmt::Display for Shown<'_, Enterprise> {
    /// Who we are stays out too: a user name is a person's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.method {
            Method::Peap { .. } => "Enterprise PEAP",
            Method::Ttls { .. } => "Enterprise TTLS",
            Method::Tls { .. } => "Enterprise TLS",
        })?;
        match (&self.0.server.ca, &self.0.server.name) {
            (Some(_), Some(name)) => write!(f, " with CA and server {name:?}"),
            (Some(_), None) => f.write_str(" with CA"),
            (None, Some(name)) => write!(f, " with server {name:?}"),
            (None, None) => Ok(()),
        }
    }
}
