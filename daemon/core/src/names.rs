//! Names that are right once they exist: hosts and interfaces.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A host as it is written in an address: an IP address or a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// From an IP address, or a DNS name (RFC 1123 section 2.1).
    pub fn parse(text: &str) -> Option<Self> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let last_has_a_letter = text
            .rsplit('.')
            .next()
            .is_some_and(|tld| !tld.bytes().all(|b| b.is_ascii_digit()));
        let is_name = text.len() <= 253 && last_has_a_letter && text.split('.').all(label);
        (is_name || IpAddr::from_str(text).is_ok()).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The name or address, an IPv6 address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a network interface, as the kernel takes it (`dev_valid_name` in net/core/dev.c).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// 1 to 15 printable characters without '/', ':' and white space, and neither "." nor "..".
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
        let printable = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
        (fits && printable).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for InterfaceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("no name of a network interface"))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for right in [
            "192.168.50.3",
            "fe80::1",
            "live.twitch.tv",
            "robot",
            "a-b.example",
        ] {
            assert!(Host::parse(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "1.2.3",
            "1.2.3.256",
            "live_1_x",
            "a..b",
            "-a",
            "a b",
            "host:80",
            "http://a",
        ] {
            assert!(Host::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_interface_name_fits_the_kernel() {
        assert!(InterfaceName::parse("wlx00c0cab1a2b3").is_some());
        for wrong in ["", ".", "a/b", "a b", "wlan0:1", "sixteen-letters0"] {
            assert!(InterfaceName::parse(wrong).is_none(), "{wrong}");
        }
    }
}
