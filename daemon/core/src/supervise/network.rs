//! What is known of the two networks that the appliance stands between.

use std::net::IpAddr;

use super::state::Problem;
use crate::names::InterfaceName;

/// How the two networks stand. By default nobody tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// The Ethernet to the robot.
    pub robot: Way,
    /// The way to the internet.
    pub uplink: Way,
    /// Why the internet does not answer, though there is a way to it. The server that we publish to may answer all the
    /// same.
    pub internet: Option<Problem>,
}

/// How one network stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Nobody tells: it is found out by trying.
    #[default]
    Unknown,
    /// It can be used.
    Ready(Footing),
    /// It cannot, for this reason.
    Missing(Problem),
}

/// What our end of a connection stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footing {
    /// The interface.
    pub interface: InterfaceName,
    /// Our address there.
    pub address: IpAddr,
}

impl Way {
    /// What to stand on, where that is known.
    pub fn footing(&self) -> Option<&Footing> {
        match self {
            Self::Ready(footing) => Some(footing),
            Self::Unknown | Self::Missing(_) => None,
        }
    }

    /// Why there is no way, where that is known.
    pub fn missing(&self) -> Option<&Problem> {
        match self {
            Self::Missing(problem) => Some(problem),
            Self::Unknown | Self::Ready(_) => None,
        }
    }
}
