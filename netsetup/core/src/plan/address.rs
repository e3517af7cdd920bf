//! Where on the robot's network we are: which port of the robot, and which address of ours.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::scene::Scene;
use crate::layout::Layout;
use crate::profile::{Kind, RobotAddress};
use crate::select::{either, in_words};
use crate::status::{Found, Reason};

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Which port it is; none while that is not known.
    pub(super) layout: Option<Layout>,
    /// How we get our address there, or why we take none.
    pub(super) address: Result<RobotAddress, Reason>,
}

impl Choice {
    pub(super) fn unknown() -> Self {
        Self {
            layout: None,
            address: Err(searching()),
        }
    }

    /// How the robot was found.
    pub(super) fn found(&self) -> Option<Found> {
        match (self.layout, &self.address) {
            (Some(layout), _) => Some(layout.into()),
            (None, Ok(RobotAddress::Dhcp)) => Some(Found::Dhcp),
            (None, _) => None,
        }
    }

    /// Our address there, where it is ours to choose.
    pub(super) fn own(&self) -> Option<Ipv4Net> {
        match self.address {
            Ok(RobotAddress::Static(own)) => Some(own),
            Ok(RobotAddress::Dhcp) | Err(_) => None,
        }
    }
}

/// Decides from who answered on the cable; silence changes nothing.
pub(super) fn choose(scene: &Scene<'_>) -> Choice {
    if let Err(reason) = &scene.robot {
        return Choice {
            layout: None,
            address: Err(reason.clone()),
        };
    }
    let present = present(scene);
    let layout = layout(scene, present);
    let address = match layout {
        Some(layout) => own_address(scene, present, layout),
        None => by_dhcp(scene, present),
    };
    Choice { layout, address }
}

fn layout(scene: &Scene<'_>, present: Option<RobotAddress>) -> Option<Layout> {
    let sightings = &scene.observed.sightings;
    let answered = |layout: &Layout| {
        let given = scene.desired.robot_hosts.iter();
        let given = given.filter(|host| layout.network().contains(*host));
        layout
            .landmarks()
            .iter()
            .chain(given)
            .any(|host| sightings.answers.contains_key(host))
    };
    let seen = sightings
        .complete
        .then(|| Layout::ALL.into_iter().find(answered))
        .flatten();
    let present = match present {
        Some(RobotAddress::Static(own)) => Layout::ALL
            .into_iter()
            .find(|layout| layout.network().contains(&own.addr())),
        Some(RobotAddress::Dhcp) | None => None,
    };
    scene.desired.layout.or(seen).or(present)
}

/// What we have there now. Where the profile cannot be asked or is not understood, the interface's address tells.
fn present(scene: &Scene<'_>) -> Option<RobotAddress> {
    let stored = scene.robot_profile();
    if let Some(profile) = stored.and_then(|stored| stored.profile.as_ref()) {
        return match profile.kind {
            Kind::Robot(address) => Some(address),
            Kind::Wifi(_) | Kind::Ethernet | Kind::Modem { .. } => None,
        };
    }
    if stored.is_none() && scene.observed.manager.is_some() {
        return None;
    }
    scene
        .robot_addresses()
        .into_iter()
        .find(|own| {
            Layout::ALL
                .iter()
                .any(|layout| layout.network().contains(&own.addr()))
        })
        .map(RobotAddress::Static)
}

fn own_address(
    scene: &Scene<'_>,
    present: Option<RobotAddress>,
    layout: Layout,
) -> Result<RobotAddress, Reason> {
    let sightings = &scene.observed.sightings;
    let network = layout.network();
    let on_uplink = on_uplink(scene);
    let is_free = |own: &Ipv4Addr| !sightings.answers.contains_key(own) && !on_uplink.contains(own);
    let chosen = scene.desired.own_address.filter(|own| network.contains(own));
    let fixed = chosen.map(|own| [own]);
    let candidates = layout.candidates();
    let candidates = fixed.as_ref().map_or(&candidates[..], |fixed| &fixed[..]);

    let present = match present {
        Some(RobotAddress::Static(own)) => Some(own.addr()).filter(|own| candidates.contains(own)),
        Some(RobotAddress::Dhcp) | None => None,
    };
    // Who waits for an address that the uplink has just leased too would lose both sides.
    let must_move = present.is_some_and(|own| on_uplink.contains(&own));
    let may_choose = sightings.complete || must_move || fixed.is_some();
    let own = match present {
        Some(own) if !may_choose || is_free(&own) => Some(own),
        _ if !may_choose => return Err(searching()),
        _ => candidates.iter().copied().find(is_free),
    };
    own.and_then(|own| Ipv4Net::new(own, network.prefix_len()).ok())
        .map(RobotAddress::Static)
        .ok_or_else(|| taken(candidates))
}

fn by_dhcp(scene: &Scene<'_>, present: Option<RobotAddress>) -> Result<RobotAddress, Reason> {
    let sightings = &scene.observed.sightings;
    match present {
        Some(RobotAddress::Dhcp) => Ok(RobotAddress::Dhcp),
        Some(RobotAddress::Static(_)) | None if sightings.silent => Ok(RobotAddress::Dhcp),
        Some(RobotAddress::Static(_)) | None if sightings.complete => Err(not_found()),
        Some(RobotAddress::Static(_)) | None => Err(searching()),
    }
}

/// Addresses that mean something on the uplink: having one of them ourselves would cut it off.
fn on_uplink(scene: &Scene<'_>) -> Vec<Ipv4Addr> {
    let device = scene.uplink_device();
    scene
        .uplink_addresses()
        .iter()
        .map(Ipv4Net::addr)
        .chain(device.and_then(|it| it.gateway))
        .chain(device.and_then(|it| it.dhcp_server))
        .chain(device.into_iter().flat_map(|it| it.name_servers.iter().copied()))
        .collect()
}

/// Nobody has answered yet.
pub(super) fn searching() -> Reason {
    Reason::new("robot-searching", "asking on the cable where the robot is")
}

/// Nobody answers.
pub(super) fn not_found() -> Reason {
    let hosts: Vec<_> = Layout::ALL
        .iter()
        .flat_map(|layout| layout.landmarks())
        .map(ToString::to_string)
        .collect();
    Reason::new(
        "robot-not-found",
        format!(
            "the cable is plugged in, but nobody answers at {}: is the robot switched on, \
             and is the cable in its payload port or rear port?",
            either(&hosts)
        ),
    )
}

fn taken(candidates: &[Ipv4Addr]) -> Reason {
    let hosts: Vec<_> = candidates.iter().map(ToString::to_string).collect();
    Reason::new(
        "robot-addresses-taken",
        format!(
            "somebody else already has {} on the robot's network or on the uplink; \
             write a free address of the robot's network as own_address under [network]",
            in_words(&hosts)
        ),
    )
}
