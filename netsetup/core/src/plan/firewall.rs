//! The firewall: the ruleset's file with its sets filled.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::routing::robot_hosts;
use super::scene::Scene;
use super::{Draft, Side, Step};
use crate::desired::Opening;
use crate::names::InterfaceName;

/// The ruleset as it is installed, its sets empty.
const FILE: &str = include_str!("../../../dist/usr/share/spotstream/netsetup.nft");

/// What the sets of the ruleset hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// The interface to the robot.
    pub robot: Option<InterfaceName>,
    /// The interface to the internet.
    pub uplink: Option<InterfaceName>,
    /// The robot and its camera.
    pub robot_hosts: BTreeSet<Ipv4Addr>,
    /// What may be reached from the uplink.
    pub open: BTreeSet<Opening>,
}

/// The ruleset as `nft -s list table inet spotstream` prints it once it is loaded, but for the breaks of long lines.
pub fn ruleset(sets: &Sets) -> String {
    let mut text = String::with_capacity(FILE.len() + 256);
    let mut elements = None;
    for line in FILE.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let _ = writeln!(text, "{line}");
        if let Some(name) = line.trim().strip_prefix("set ") {
            elements = Some(sets.elements(name.trim_end_matches(" {")));
        } else if line.trim_start().starts_with("type ")
            && let Some(elements) = elements.take()
            && !elements.is_empty()
        {
            let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
        }
    }
    text
}

/// The ruleset in place of whatever is loaded, in one transaction for `nft -f -`.
pub fn transaction(ruleset: &str) -> String {
    // The first line makes the table where there is none, so that the second can always take it away.
    format!("table inet spotstream\ndelete table inet spotstream\n{ruleset}")
}

/// Whether two rulesets are the same: nft breaks long lines as it likes.
pub fn is_same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

pub(super) fn compare(scene: &Scene<'_>, draft: &mut Draft) {
    let wanted = ruleset(&Sets {
        robot: scene.robot.as_ref().ok().cloned(),
        uplink: scene.uplink.as_ref().ok().map(|it| it.interface.clone()),
        robot_hosts: robot_hosts(scene),
        open: scene.desired.open.clone(),
    });
    let loaded = scene.observed.firewall.as_deref().unwrap_or_default();
    if !is_same(loaded, &wanted) {
        // Who pulls the uplink out does not make the robot wait.
        let is_about_uplink = without_uplink(loaded).eq(without_uplink(&wanted));
        let side = if is_about_uplink { Side::Uplink } else { Side::Both };
        draft.push(side, Step::LoadFirewall(wanted));
    }
}

/// The words of a ruleset but for which interface the uplink is.
fn without_uplink(text: &str) -> impl Iterator<Item = &str> {
    let (before, rest) = text.split_once("set uplink {").unwrap_or((text, ""));
    let after = rest.split_once("set ").map_or("", |(_, after)| after);
    before.split_whitespace().chain(after.split_whitespace())
}

impl Sets {
    fn elements(&self, name: &str) -> Vec<String> {
        match name {
            "robot" => quoted(self.robot.as_ref()),
            "uplink" => quoted(self.uplink.as_ref()),
            "robot_hosts" => self.robot_hosts.iter().map(ToString::to_string).collect(),
            "open_tcp" => self.ports("tcp"),
            "open_udp" => self.ports("udp"),
            _ => Vec::new(),
        }
    }

    fn ports(&self, protocol: &str) -> Vec<String> {
        let ports: BTreeSet<u16> = self
            .open
            .iter()
            .map(|opening| match opening {
                Opening::StatusPage => ("tcp", 80),
                Opening::Mdns => ("udp", 5353),
                Opening::Ssh => ("tcp", 22),
            })
            .filter(|(it, _)| *it == protocol)
            .map(|(_, port)| port)
            .collect();
        ports.iter().map(ToString::to_string).collect()
    }
}

/// A name that would mean something to nft is left out: that interface is closed then.
fn quoted(name: Option<&InterfaceName>) -> Vec<String> {
    name.map(InterfaceName::as_str)
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
        })
        .map(|name| format!("\"{name}\""))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_whose_name_means_something_to_nft_is_closed() {
        let sets = |name| Sets {
            uplink: InterfaceName::parse(name),
            ..Sets::default()
        };
        assert!(ruleset(&sets("wlan1")).contains("elements = { \"wlan1\" }"));
        for name in ["wlan*", "a\"b", "a\\b"] {
            assert!(!ruleset(&sets(name)).contains("elements"), "{name}");
        }
    }

    #[test]
    fn a_ruleset_is_the_same_however_its_lines_are_broken() {
        let text = ruleset(&Sets::default());
        assert!(is_same(&text, &text.replace(", ", ",\n\t\t\t     ")));
        assert!(!is_same(&text, &text.replace("policy drop", "policy accept")));
    }
}
