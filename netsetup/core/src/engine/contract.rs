//! What the engine is told, and what it wants.

use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::internet::{Question, Verdict};
use crate::names::{InterfaceName, MacAddress};
use crate::observed::Observed;
use crate::plan::Step;
use crate::status::Status;

/// What has happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The answer to [`Output::Observe`]; sightings are the engine's own business and are empty in it.
    Observed(Box<Observed>),
    /// Looking has failed.
    Unobserved(Failure),
    /// The kernel or NetworkManager has changed something. Which thing does not matter: all is looked at.
    Changed,
    /// A host on this interface does not answer ARP any more (RTM_NEWNEIGH with NUD_FAILED).
    NeighbourFailed(InterfaceName, Ipv4Addr),
    /// A host on the robot's cable has answered a probe.
    Answer(Ipv4Addr, MacAddress),
    /// The steps of [`Output::Apply`] are done, or one of them failed and what NetworkManager had done is undone.
    Applied(Result<(), Failure>),
    /// The answer to [`Output::CheckInternet`].
    Internet(Verdict),
    /// A person wants everything looked at now.
    CheckNow,
    /// The time that `deadline` named has come.
    Woken,
}

/// What the run loop is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Look at everything.
    Observe,
    /// Ask by ARP who has these addresses, once each, and keep listening for answers on that interface.
    Ask {
        /// The robot's interface.
        interface: InterfaceName,
        /// Whom to ask for.
        addresses: Vec<Ipv4Addr>,
    },
    /// Nobody is asked any more; the listening socket can be closed.
    StopAsking,
    /// Do these steps in order, those of NetworkManager under a checkpoint of these devices, which is kept.
    Apply {
        /// What to do.
        steps: Vec<Step>,
        /// What it may change.
        devices: Vec<InterfaceName>,
    },
    /// What NetworkManager did since the last checkpoint is good.
    Commit,
    /// What NetworkManager did since the last checkpoint is to be undone.
    RollBack,
    /// Use this profile on this device, outside of any checkpoint: NetworkManager has given it up. Nothing is answered;
    /// what comes of it is seen.
    TryAgain(Uuid, InterfaceName),
    /// Ask the internet, by this interface alone. One question at a time; a new one replaces the old one.
    CheckInternet(Question),
    /// How things stand now.
    Tell(Box<Status>),
    /// One line for the log: what was found to be wrong and is being put right.
    Repair(String),
}

/// Why steps could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable word of the error.
    pub kind: &'static str,
    /// One plain sentence without a secret.
    pub sentence: String,
    /// Whether trying again may help.
    pub is_retryable: bool,
}
