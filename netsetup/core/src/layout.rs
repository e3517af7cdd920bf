//! The two ports of a robot that we may be plugged into (`docs/field-test.md`).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Which port of the robot we are plugged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A payload port: robot .3, Spot CAM .6 of 192.168.50.0/24.
    Payload,
    /// The rear port: robot .3 of 10.0.0.0/24, which forwards to the Spot CAM.
    Rear,
}

impl Layout {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Payload, Self::Rear];

    /// The network.
    pub const fn network(self) -> Ipv4Net {
        match self {
            Self::Payload => Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 50, 0), 24),
            Self::Rear => Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 24),
        }
    }

    /// The robot.
    pub const fn robot(self) -> Ipv4Addr {
        match self {
            Self::Payload => Ipv4Addr::new(192, 168, 50, 3),
            Self::Rear => Ipv4Addr::new(10, 0, 0, 3),
        }
    }

    /// Hosts whose answer proves that we are plugged in here.
    pub const fn landmarks(self) -> &'static [Ipv4Addr] {
        const PAYLOAD: &[Ipv4Addr] = &[Ipv4Addr::new(192, 168, 50, 3), Ipv4Addr::new(192, 168, 50, 6)];
        const REAR: &[Ipv4Addr] = &[Ipv4Addr::new(10, 0, 0, 3)];
        match self {
            Self::Payload => PAYLOAD,
            Self::Rear => REAR,
        }
    }

    /// Our own address there, the best first. .2 to .9 belong to the robot's own payloads.
    pub const fn candidates(self) -> [Ipv4Addr; 3] {
        match self {
            Self::Payload => [
                Ipv4Addr::new(192, 168, 50, 21),
                Ipv4Addr::new(192, 168, 50, 20),
                Ipv4Addr::new(192, 168, 50, 22),
            ],
            Self::Rear => [
                Ipv4Addr::new(10, 0, 0, 21),
                Ipv4Addr::new(10, 0, 0, 20),
                Ipv4Addr::new(10, 0, 0, 22),
            ],
        }
    }
}
