//! What can go wrong between us and the kernel.

use std::io;

use netsetup_core::names::InterfaceName;

/// The kernel did not do, or did not tell, what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no netlink socket to be had.
    #[error("failed to open a netlink socket to {doing}")]
    Socket {
        /// What for: "list the links".
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The service's capabilities are not enough.
    #[error("failed to {doing}: this takes the capability CAP_NET_ADMIN, which netsetup has not got")]
    NotPermitted {
        /// What was being done.
        doing: String,
    },
    /// The interface is not there, or not any more.
    #[error("failed to {doing}: there is no interface '{interface}'")]
    NoInterface {
        /// What was being done.
        doing: String,
        /// The interface.
        interface: InterfaceName,
    },
    /// The kernel said no.
    #[error("failed to {doing}: {source}")]
    Refused {
        /// What was being done.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// Each time it was listed, something changed meanwhile.
    #[error("failed to {doing}: it changed {times} times while it was being read")]
    Unsteady {
        /// What was being done.
        doing: String,
        /// How often it was read.
        times: u32,
    },
    /// The kernel has not answered within `SILENCE`.
    #[error("failed to {doing}: the kernel does not answer")]
    Silent {
        /// What was being done.
        doing: String,
    },
    /// The socket has been closed under us.
    #[error("failed to {doing}: the netlink socket is closed")]
    Closed {
        /// What was being done.
        doing: String,
    },
    /// A step that somebody else does.
    #[error("failed to apply a step: it is none of the kernel's links, routes and rules")]
    ForeignStep,
}

impl Error {
    /// The stable word for status and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "netlink-socket",
            Self::NotPermitted { .. } => "netlink-not-permitted",
            Self::NoInterface { .. } => "netlink-no-interface",
            Self::Refused { .. } => "netlink-refused",
            Self::Unsteady { .. } => "netlink-unsteady",
            Self::Silent { .. } => "netlink-silent",
            Self::Closed { .. } => "netlink-closed",
            Self::ForeignStep => "netlink-foreign-step",
        }
    }

    /// Whether the same again, a little later, may go well: links come and go under our hands.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoInterface { .. } | Self::Unsteady { .. } | Self::Silent { .. } => true,
            Self::Refused { source, .. } => source.raw_os_error().is_some_and(|code| PASSING.contains(&code)),
            Self::Socket { .. } | Self::NotPermitted { .. } | Self::Closed { .. } | Self::ForeignStep => {
                false
            }
        }
    }
}

/// What the kernel says of a link or an address that is not there yet, or is just going.
const PASSING: [i32; 8] = [
    libc::ENETDOWN,
    libc::ENETUNREACH,
    libc::ENODEV,
    libc::EADDRNOTAVAIL,
    libc::EAGAIN,
    libc::EBUSY,
    libc::EINTR,
    libc::ENOBUFS,
];
