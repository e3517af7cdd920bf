//! What everybody is told: by D-Bus, by `netsetup show`, by the daemon's reason.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// How the two networks stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The cable to the robot.
    pub robot: Robot,
    /// The way to the internet.
    pub uplink: Uplink,
    /// Whether the internet answers.
    pub internet: Internet,
    /// What concerns both sides: NetworkManager, settings, somebody who undoes what we do.
    pub reason: Option<Reason>,
    /// What works, but somebody may want to know.
    pub notes: Vec<String>,
}

impl Status {
    /// One line: how each side stands, or why not.
    pub fn summary(&self) -> String {
        let robot = side("robot", self.robot.ready, self.robot.reason.as_ref());
        let uplink = side("internet", self.uplink.ready, self.uplink.reason.as_ref());
        match &self.reason {
            Some(reason) => format!("{}; {robot}; {uplink}", reason.sentence),
            None => format!("{robot}; {uplink}"),
        }
    }
}

fn side(name: &str, ready: bool, reason: Option<&Reason>) -> String {
    match (ready, reason) {
        (_, Some(reason)) => format!("{name}: {}", reason.sentence),
        (true, None) => format!("{name}: ready"),
        (false, None) => format!("{name}: coming up"),
    }
}

/// The cable to the robot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Robot {
    /// The interface.
    pub interface: Option<String>,
    /// Its permanent hardware address.
    pub mac: Option<String>,
    /// Whether there is a cable with something at its other end.
    pub carrier: bool,
    /// Which port of the robot it is plugged into.
    pub layout: Option<Found>,
    /// The robot's address.
    pub address: Option<Ipv4Addr>,
    /// Our address there.
    pub own_address: Option<Ipv4Net>,
    /// Whether the robot can be called: everything is in place, verified.
    pub ready: bool,
    /// Why it cannot.
    pub reason: Option<Reason>,
}

/// How the robot was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// By its addresses on a payload port.
    Payload,
    /// By its addresses on the rear port.
    Rear,
    /// It gave us an address by DHCP.
    Dhcp,
}

impl Found {
    /// As it follows "plugged into".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Payload => "a payload port",
            Self::Rear => "the rear port",
            Self::Dhcp => "a port that gave us an address",
        }
    }
}

impl From<Layout> for Found {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Payload => Self::Payload,
            Layout::Rear => Self::Rear,
        }
    }
}

/// The way to the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Uplink {
    /// The interface.
    pub interface: Option<String>,
    /// Its permanent hardware address: what a campus network wants to register.
    pub mac: Option<String>,
    /// The WiFi network.
    pub ssid: Option<String>,
    /// Our address there.
    pub address: Option<Ipv4Net>,
    /// The way out.
    pub gateway: Option<Ipv4Addr>,
    /// Whether there is a way out: everything is in place, verified. The internet may still not answer.
    pub ready: bool,
    /// Why there is none, or why the internet does not answer.
    pub reason: Option<Reason>,
}

/// Whether the internet answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Internet {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// The ingest server answers.
    Yes,
    /// It does not.
    No,
    /// A page wants to be clicked first.
    CaptivePortal,
}

impl Internet {
    /// As it follows "the streaming server".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Unknown => "not asked yet",
            Self::Yes => "answers",
            Self::No => "does not answer",
            Self::CaptivePortal => "hidden behind a page of the WiFi, which somebody must click",
        }
    }
}

/// Why something is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable machine word.
    pub kind: String,
    /// One plain sentence for a person; it holds no secret.
    pub sentence: String,
}

impl Reason {
    /// A reason with its word and its sentence.
    pub fn new(kind: &str, sentence: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            sentence: sentence.into(),
        }
    }
}
