//! NetworkManager's profiles: ours are compared, other people's are left alone.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::scene::{ACTIVATED, ADDRESS_DUPLICATE, DISCONNECTED, FAILED, NEED_AUTH, Scene, UNMANAGED};
use super::{Draft, Side, Step};
use crate::again::{Idle, Network};
use crate::desired::Desired;
use crate::names::InterfaceName;
use crate::observed::{Device, DeviceKind, StoredProfile};
use crate::profile::{Kind, Profile};
use crate::select::link;

/// NMDeviceStateReason, where NetworkManager is about to use the device by itself.
const NOW_MANAGED: u32 = 2;
const CARRIER: u32 = 40;
/// NMDeviceStateReason, where somebody has said "disconnect", a rollback included.
const USER_REQUESTED: u32 = 39;
const NEW_ACTIVATION: u32 = 60;

pub(super) fn compare(scene: &Scene<'_>, draft: &mut Draft) {
    if scene.observed.manager.is_none() {
        return;
    }
    let devices = [
        (Side::Robot, scene.robot_device()),
        (Side::Uplink, scene.uplink_device()),
    ];
    for (side, device) in devices {
        if let Some(device) = device.filter(|it| it.state == UNMANAGED) {
            draft.push(side, Step::Manage(device.interface.clone()));
        }
    }
    let wanted = Wanted::new(scene);
    let updated = wanted.write(scene, draft);
    activate_robot(scene, &wanted, &updated, draft);
    activate_uplink(scene, &wanted, &updated, draft);
}

/// The profiles that there are to be, the robot's first, then the best network first.
struct Wanted {
    profiles: Vec<(Side, Profile)>,
}

impl Wanted {
    fn new(scene: &Scene<'_>) -> Self {
        let mut profiles = Vec::new();
        if let (Ok(robot), Ok(address)) = (&scene.robot, &scene.choice.address) {
            profiles.push((
                Side::Robot,
                Profile {
                    interface: Some(robot.clone()),
                    kind: Kind::Robot(*address),
                },
            ));
        }
        profiles.extend(uplink(scene).into_iter().map(|it| (Side::Uplink, it)));
        let waiting = scene.profiles().iter().filter_map(|it| waiting(scene, it));
        profiles.extend(waiting);
        let mut known = BTreeSet::new();
        profiles.retain(|(_, profile)| known.insert(profile.uuid()));
        Self { profiles }
    }

    /// The steps that make it so; answers what was changed by them.
    fn write(&self, scene: &Scene<'_>, draft: &mut Draft) -> BTreeSet<Uuid> {
        let stored: BTreeMap<_, _> = scene
            .profiles()
            .iter()
            .map(|stored| (stored.uuid, stored.profile.as_ref()))
            .collect();
        let mut updated = BTreeSet::new();
        for (side, profile) in &self.profiles {
            match stored.get(&profile.uuid()) {
                None => draft.push(*side, Step::AddProfile(profile.clone())),
                Some(Some(present)) if *present == profile => {}
                Some(_) => {
                    updated.insert(profile.uuid());
                    draft.push(*side, Step::UpdateProfile(profile.clone()));
                }
            }
        }
        let robot = scene.robot_profile().map(|it| it.uuid);
        for uuid in stored.into_keys() {
            if !self.profiles.iter().any(|(_, it)| it.uuid() == uuid) {
                let side = if Some(uuid) == robot {
                    Side::Robot
                } else {
                    Side::Uplink
                };
                draft.push(side, Step::DeleteProfile(uuid));
            }
        }
        updated
    }

    fn of(&self, side: Side) -> impl Iterator<Item = &Profile> {
        self.profiles
            .iter()
            .filter(move |(it, _)| *it == side)
            .map(|(_, profile)| profile)
    }
}

fn uplink(scene: &Scene<'_>) -> Vec<Profile> {
    let Ok(uplink) = &scene.uplink else {
        return Vec::new();
    };
    let kinds: Vec<_> = match uplink.kind {
        DeviceKind::Wifi => scene.desired.wifi.iter().cloned().map(Kind::Wifi).collect(),
        DeviceKind::Ethernet => vec![Kind::Ethernet],
        DeviceKind::Modem => modem(scene.desired).into_iter().collect(),
        DeviceKind::Other => Vec::new(),
    };
    // The data interface of a modem comes and goes under other names, so its profile names none.
    let interface = (uplink.kind != DeviceKind::Modem).then(|| uplink.device.clone());
    kinds
        .into_iter()
        .map(|kind| Profile {
            interface: interface.clone(),
            kind,
        })
        .collect()
}

fn modem(desired: &Desired) -> Option<Kind> {
    desired.apn.clone().map(|apn| Kind::Modem { apn })
}

/// A profile whose interface is pulled out waits for its return, so that NetworkManager can use it at once.
fn waiting(scene: &Scene<'_>, stored: &StoredProfile) -> Option<(Side, Profile)> {
    let profile = stored.profile.as_ref()?;
    let is_gone = |name: &InterfaceName| link(name, scene.observed).is_none();
    let is_gone = profile
        .interface
        .as_ref()
        .map_or_else(|| matches!(profile.kind, Kind::Modem { .. }), is_gone);
    let (side, is_still_meant) = match &profile.kind {
        Kind::Robot(_) => (Side::Robot, scene.robot.is_err()),
        Kind::Wifi(wifi) => (
            Side::Uplink,
            scene.uplink.is_err() && scene.desired.wifi.contains(wifi),
        ),
        Kind::Ethernet => (Side::Uplink, scene.uplink.is_err()),
        Kind::Modem { .. } => (
            Side::Uplink,
            scene.uplink.is_err() && modem(scene.desired).as_ref() == Some(&profile.kind),
        ),
    };
    (stored.uuid == profile.uuid() && is_gone && is_still_meant).then(|| (side, profile.clone()))
}

/// The robot's cable is always to be in use, whoever disconnected it.
fn activate_robot(scene: &Scene<'_>, wanted: &Wanted, updated: &BTreeSet<Uuid>, draft: &mut Draft) {
    let has_carrier = scene.robot_link().is_some_and(|link| link.carrier);
    let device = scene.robot_device().filter(|_| has_carrier);
    let profile = wanted.of(Side::Robot).next().filter(|_| scene.robot.is_ok());
    let (Some(device), Some(profile)) = (device, profile) else {
        return;
    };
    let uuid = profile.uuid();
    let is_used = is_in_use(device) && device.profile == Some(uuid);
    let is_idle = matches!(device.state, DISCONNECTED | FAILED)
        && !matches!(
            device.state_reason,
            NOW_MANAGED | CARRIER | NEW_ACTIVATION | ADDRESS_DUPLICATE
        );
    let is_stranger = is_in_use(device) && !is_used;
    let is_outdated = is_used
        && device.state == ACTIVATED
        && scene
            .choice
            .own()
            .is_some_and(|own| !scene.robot_addresses().contains(&own));
    let is_changed =
        updated.contains(&uuid) && (is_used || device.state == DISCONNECTED || device.state == FAILED);
    if is_idle || is_stranger || is_outdated || is_changed {
        draft.push(Side::Robot, Step::Activate(uuid, Some(device.interface.clone())));
    }
}

/// NetworkManager connects the uplink by itself, and chooses the network; it only has to be told of a change to what it
/// uses, or has given up.
fn activate_uplink(scene: &Scene<'_>, wanted: &Wanted, updated: &BTreeSet<Uuid>, draft: &mut Draft) {
    let Some(device) = scene.uplink_device() else {
        return;
    };
    let changed = || {
        wanted
            .of(Side::Uplink)
            .filter(|profile| updated.contains(&profile.uuid()))
    };
    let used = changed()
        .map(Profile::uuid)
        .find(|uuid| is_in_use(device) && device.profile == Some(*uuid));
    let has_given_up = matches!(device.state, DISCONNECTED | NEED_AUTH | FAILED);
    let blocked = changed()
        .filter(|_| has_given_up)
        .find(|profile| is_in_reach(profile, device))
        .map(Profile::uuid);
    // Whoever disconnects the box, or undoes a change of it, also tells NetworkManager not to connect it again.
    let stopped = wanted
        .of(Side::Uplink)
        .filter(|_| device.state == DISCONNECTED && device.state_reason == USER_REQUESTED)
        .find(|profile| is_stored(scene, profile) && is_in_reach(profile, device))
        .map(Profile::uuid);
    if let Some(uuid) = used.or(blocked).or(stopped) {
        draft.push(Side::Uplink, Step::Activate(uuid, Some(device.interface.clone())));
    }
}

/// The WiFi uplink that is not in use, with the networks in reach that it could use, the best first.
pub(super) fn idle(scene: &Scene<'_>) -> Option<Idle> {
    let device = scene
        .uplink_device()
        .filter(|device| device.state == DISCONNECTED)?;
    let networks: Vec<_> = uplink(scene)
        .iter()
        .filter(|profile| is_stored(scene, profile) && is_in_reach(profile, device))
        .filter_map(Network::of)
        .collect();
    (!networks.is_empty()).then(|| Idle {
        device: device.interface.clone(),
        networks,
    })
}

/// A profile that is yet to be added connects by itself.
fn is_stored(scene: &Scene<'_>, profile: &Profile) -> bool {
    scene
        .profiles()
        .iter()
        .any(|stored| stored.uuid == profile.uuid())
}

/// From "prepare" to "activated".
fn is_in_use(device: &Device) -> bool {
    device.state > DISCONNECTED && device.state <= ACTIVATED
}

fn is_in_reach(profile: &Profile, device: &Device) -> bool {
    match &profile.kind {
        Kind::Wifi(wifi) => wifi.hidden || device.seen.contains(&wifi.ssid),
        Kind::Robot(_) | Kind::Ethernet | Kind::Modem { .. } => true,
    }
}
