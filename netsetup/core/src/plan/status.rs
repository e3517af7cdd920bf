//! How things stand. A side is ready only when it was seen to be: nothing is left to be done for it.

use ipnet::Ipv4Net;

use super::address::{not_found, searching};
use super::cause;
use super::scene::{ACTIVATED, ADDRESS_DUPLICATE, DISCONNECTED, Scene, UNMANAGED};
use super::{Draft, Side};
use crate::layout::Layout;
use crate::observed::{Device, Link};
use crate::profile::RobotAddress;
use crate::select::link;
use crate::status::{Internet, Reason, Robot, Status, Uplink};

/// How a side stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// Everything is in place, and was seen to be.
    Ready,
    /// Nothing is wrong, but something is on its way.
    ComingUp,
    /// Something is wrong, or nobody knows yet.
    Not(Reason),
}

impl Standing {
    fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    fn reason(self) -> Option<Reason> {
        match self {
            Self::Ready | Self::ComingUp => None,
            Self::Not(reason) => Some(reason),
        }
    }
}

pub(super) fn tell(scene: &Scene<'_>, draft: &Draft) -> Status {
    Status {
        robot: robot(scene, draft),
        uplink: uplink(scene, draft),
        internet: Internet::Unknown,
        reason: scene.observed.manager.is_none().then(cause::manager_not_running),
        notes: scene.notes.iter().cloned().chain(overlap(scene)).collect(),
    }
}

fn robot(scene: &Scene<'_>, draft: &Draft) -> Robot {
    let link = scene.robot_link();
    let standing = robot_standing(scene, draft);
    Robot {
        interface: scene.robot.as_ref().ok().map(ToString::to_string),
        mac: link.map(mac),
        carrier: link.is_some_and(|link| link.carrier),
        layout: scene.choice.found(),
        address: match (scene.choice.layout, &scene.choice.address) {
            (Some(layout), _) => Some(layout.robot()),
            (None, Ok(RobotAddress::Dhcp)) => scene.robot_device().and_then(|it| it.dhcp_server),
            (None, _) => None,
        },
        own_address: own_address(scene),
        ready: standing.is_ready(),
        reason: standing.reason(),
    }
}

fn mac(link: &Link) -> String {
    link.permanent_mac.unwrap_or(link.mac).to_string()
}

/// Our address, once it is there.
fn own_address(scene: &Scene<'_>) -> Option<Ipv4Net> {
    let addresses = scene.robot_addresses();
    match scene.choice.address {
        Ok(RobotAddress::Static(own)) => addresses.into_iter().find(|it| *it == own),
        Ok(RobotAddress::Dhcp) => addresses.first().copied(),
        Err(_) => None,
    }
}

fn robot_standing(scene: &Scene<'_>, draft: &Draft) -> Standing {
    let name = match &scene.robot {
        Ok(name) => name,
        Err(reason) => return Standing::Not(reason.clone()),
    };
    if scene.observed.manager.is_none() {
        return Standing::Not(cause::manager_not_running());
    }
    if scene.robot_link().is_none_or(|link| !link.carrier) {
        return Standing::Not(Reason::new(
            "robot-cable-unplugged",
            format!("the robot's cable at {name} is not plugged in, or the robot is switched off"),
        ));
    }
    if let Some(reason) = address_on_uplink(scene) {
        return Standing::Not(reason);
    }
    if let Err(reason) = &scene.choice.address {
        return Standing::Not(reason.clone());
    }
    let Some(device) = scene.robot_device() else {
        return Standing::Not(cause::not_managed(name));
    };
    if device.state <= UNMANAGED {
        return Standing::Not(cause::not_managed(name));
    }
    if let Some(reason) = address_in_use(scene, device) {
        return Standing::Not(reason);
    }
    let is_in_place = device.state == ACTIVATED && own_address(scene).is_some();
    if is_in_place && draft.is_settled(Side::Robot) {
        silence(scene)
    } else if !is_in_place && scene.choice.address == Ok(RobotAddress::Dhcp) {
        Standing::Not(not_found())
    } else {
        Standing::ComingUp
    }
}

/// NetworkManager's own check found our address taken; the next look at the cable chooses another one.
fn address_in_use(scene: &Scene<'_>, device: &Device) -> Option<Reason> {
    let own = scene.choice.own()?.addr();
    (device.state != ACTIVATED && device.state_reason == ADDRESS_DUPLICATE).then(|| {
        Reason::new(
            "robot-addresses-taken",
            format!("somebody else on the robot's network already has our address {own}"),
        )
    })
}

/// The uplink gave us an address that the robot has: what is sent there never leaves this computer.
fn address_on_uplink(scene: &Scene<'_>) -> Option<Reason> {
    let landmarks = scene.choice.layout.map_or(&[][..], Layout::landmarks);
    let own = scene
        .uplink_addresses()
        .into_iter()
        .find(|own| landmarks.contains(&own.addr()))?;
    Some(Reason::new(
        "uplink-has-the-robots-address",
        format!(
            "the network behind {} gave us {}, which is the robot's own address; take another network, \
             or plug the robot's cable into its other port",
            scene
                .uplink
                .as_ref()
                .map_or("the uplink", |it| it.interface.as_str()),
            own.addr()
        ),
    ))
}

/// Everything is in place on our side, but the robot has not been heard. Who fixed the port by setting need not hear it.
fn silence(scene: &Scene<'_>) -> Standing {
    let is_asked_for = scene.desired.layout.is_none();
    let Some(layout) = scene.choice.layout.filter(|_| is_asked_for) else {
        return Standing::Ready;
    };
    let sightings = &scene.observed.sightings;
    let is_heard = layout
        .landmarks()
        .iter()
        .any(|host| sightings.answers.contains_key(host));
    match (is_heard, sightings.complete) {
        (true, _) => Standing::Ready,
        (false, true) => Standing::Not(not_found()),
        (false, false) => Standing::Not(searching()),
    }
}

fn uplink(scene: &Scene<'_>, draft: &Draft) -> Uplink {
    let device = scene.uplink_device();
    let used = device
        .filter(|device| device.state > DISCONNECTED && device.state <= ACTIVATED)
        .and_then(|device| cause::used(scene, device));
    let standing = uplink_standing(scene, draft);
    Uplink {
        interface: scene.uplink.as_ref().ok().map(|it| it.interface.to_string()),
        mac: scene
            .uplink
            .as_ref()
            .ok()
            .and_then(|it| link(&it.interface, scene.observed))
            .map(mac),
        ssid: used.map(|wifi| wifi.ssid.to_string()),
        address: scene.uplink_addresses().first().copied(),
        gateway: scene.gateway(),
        ready: standing.is_ready(),
        reason: standing.reason(),
    }
}

fn uplink_standing(scene: &Scene<'_>, draft: &Draft) -> Standing {
    let uplink = match &scene.uplink {
        Ok(uplink) => uplink,
        Err(reason) => return Standing::Not(reason.clone()),
    };
    if scene.observed.manager.is_none() {
        return Standing::Not(cause::manager_not_running());
    }
    let Some(device) = scene.uplink_device() else {
        return Standing::Not(cause::not_managed(&uplink.interface));
    };
    match cause::of_uplink(scene, device) {
        Standing::Ready if !draft.is_settled(Side::Uplink) => Standing::ComingUp,
        standing @ (Standing::Ready | Standing::ComingUp | Standing::Not(_)) => standing,
    }
}

/// Worth knowing, not wrong: the two sides are told apart by interface.
fn overlap(scene: &Scene<'_>) -> Option<String> {
    let robot = scene.choice.layout?.network();
    let uplink = scene
        .uplink_addresses()
        .into_iter()
        .find(|it| it.contains(&robot.network()) || robot.contains(&it.network()))?;
    Some(format!(
        "the uplink's network {} has the same addresses as the robot's; the two are kept apart",
        uplink.trunc()
    ))
}
