//! What is to be done so that what there is becomes what is wanted. Of a verified state the plan is empty.
//!
//! Each file compares one kind of thing: [`firewall`], links, routing, profiles. `address` decides where on the robot's
//! network we are, `status` says how things stand.

use uuid::Uuid;

use crate::again::Idle;
use crate::desired::Desired;
use crate::names::{CountryCode, InterfaceName};
use crate::observed::{LinkConf, Observed};
use crate::profile::Profile;
use crate::routing::{Route, Rule};
use crate::select::select;
use crate::status::Status;

mod address;
mod cause;
pub mod firewall;
mod links;
mod profiles;
mod routing;
mod scene;
mod show;
mod status;

use scene::Scene;

/// What is to be done, and how things stand before it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order: what keeps packets from going astray comes first.
    pub steps: Vec<Step>,
    /// What to tell; `ready` only where nothing is left to be done for that side.
    pub status: Status,
    /// The WiFi uplink, where NetworkManager does nothing with it although it could.
    pub idle: Option<Idle>,
}

/// One change, complete in itself: the machine may lose power after any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put this ruleset in the place of the one that is loaded, in one transaction ([`firewall::transaction`]).
    LoadFirewall(String),
    /// Set an interface's IPv4 settings.
    ConfigureLink(InterfaceName, LinkConf),
    /// Set the regulatory domain.
    SetCountry(CountryCode),
    /// Add a rule.
    AddRule(Rule),
    /// Take away a rule of ours.
    DeleteRule(Rule),
    /// Add a route.
    AddRoute(Route),
    /// Take away a route.
    DeleteRoute(Route),
    /// Give NetworkManager a device that it leaves alone.
    Manage(InterfaceName),
    /// Give NetworkManager a new profile.
    AddProfile(Profile),
    /// Change a profile of ours to this.
    UpdateProfile(Profile),
    /// Take away a profile of ours.
    DeleteProfile(Uuid),
    /// Use a profile now, on this device or on any.
    Activate(Uuid, Option<InterfaceName>),
}

impl Step {
    /// Whether NetworkManager does it, so that it is undone when the result does not verify.
    pub fn needs_checkpoint(&self) -> bool {
        match self {
            Self::Manage(_)
            | Self::AddProfile(_)
            | Self::UpdateProfile(_)
            | Self::DeleteProfile(_)
            | Self::Activate(..) => true,
            Self::LoadFirewall(_)
            | Self::ConfigureLink(..)
            | Self::SetCountry(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_)
            | Self::AddRoute(_)
            | Self::DeleteRoute(_) => false,
        }
    }
}

/// Compares and decides.
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let scene = Scene::new(desired, observed, select(desired, observed));
    let mut draft = Draft::default();
    firewall::compare(&scene, &mut draft);
    routing::compare(&scene, &mut draft);
    links::compare(&scene, &mut draft);
    profiles::compare(&scene, &mut draft);
    let status = status::tell(&scene, &draft);
    Plan {
        steps: draft.steps.into_iter().map(|(_, step)| step).collect(),
        status,
        idle: profiles::idle(&scene),
    }
}

/// Which side waits for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Robot,
    Uplink,
    Both,
    Neither,
}

/// The steps so far, and who waits for them.
#[derive(Debug, Default)]
struct Draft {
    steps: Vec<(Side, Step)>,
}

impl Draft {
    fn push(&mut self, side: Side, step: Step) {
        self.steps.push((side, step));
    }

    fn is_settled(&self, side: Side) -> bool {
        !self.steps.iter().any(|(it, _)| *it == side || *it == Side::Both)
    }
}
