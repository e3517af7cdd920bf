//! A machine that does what it is told, as simply as can be.

use netsetup_core::names::InterfaceName;
use netsetup_core::observed::{Address, Device, Manager, Observed, StoredProfile};
use netsetup_core::plan::Step;
use netsetup_core::profile::{Kind, RobotAddress};
use netsetup_core::routing::{ROBOT_TABLE, Route};
use uuid::Uuid;

/// What a step does to the world.
pub(crate) fn apply(observed: &mut Observed, step: &Step) {
    match step {
        Step::LoadFirewall(text) => observed.firewall = Some(text.replace(", ", ",\n\t\t\t")),
        Step::ConfigureLink(name, conf) => {
            let link = observed.links.iter_mut().find(|it| it.name == *name).unwrap();
            link.conf = *conf;
        }
        Step::SetCountry(country) => observed.country = Some(*country),
        Step::AddRule(rule) => observed.rules.push(rule.clone()),
        Step::DeleteRule(rule) => observed.rules.retain(|it| it != rule),
        Step::AddRoute(route) => observed.routes.push(route.clone()),
        Step::DeleteRoute(route) => observed.routes.retain(|it| it != route),
        Step::Manage(name) => {
            let device = device(observed, name);
            (device.state, device.state_reason) = (30, 2);
        }
        Step::AddProfile(profile) => manager(observed).profiles.push(StoredProfile {
            uuid: profile.uuid(),
            profile: Some(profile.clone()),
        }),
        Step::UpdateProfile(profile) => {
            let profiles = &mut manager(observed).profiles;
            let stored = profiles.iter_mut().find(|it| it.uuid == profile.uuid()).unwrap();
            stored.profile = Some(profile.clone());
        }
        Step::DeleteProfile(uuid) => {
            let manager = manager(observed);
            manager.profiles.retain(|it| it.uuid != *uuid);
            for device in manager.devices.iter_mut().filter(|it| it.profile == Some(*uuid)) {
                (device.state, device.state_reason, device.profile) = (30, 38, None);
            }
        }
        Step::Activate(uuid, name) => activate(observed, *uuid, name.as_ref().unwrap()),
    }
}

fn manager(observed: &mut Observed) -> &mut Manager {
    observed.manager.as_mut().unwrap()
}

fn device<'a>(observed: &'a mut Observed, name: &InterfaceName) -> &'a mut Device {
    let devices = &mut manager(observed).devices;
    devices.iter_mut().find(|it| it.interface == *name).unwrap()
}

fn activate(observed: &mut Observed, uuid: Uuid, name: &InterfaceName) {
    let profiles = &manager(observed).profiles;
    let profile = profiles
        .iter()
        .find(|it| it.uuid == uuid)
        .unwrap()
        .profile
        .clone()
        .unwrap();
    for device in &mut manager(observed).devices {
        if device.profile == Some(uuid) && device.interface != *name {
            (device.state, device.profile) = (30, None);
        }
    }
    let device = device(observed, name);
    (device.state, device.state_reason, device.profile) = (100, 0, Some(uuid));
    let Kind::Robot(address) = profile.kind else {
        return;
    };
    let own = match address {
        RobotAddress::Static(own) => own,
        RobotAddress::Dhcp => "192.168.50.180/24".parse().unwrap(),
    };
    // With an address go the routes from it.
    observed.addresses.retain(|it| it.interface != *name);
    observed.routes.retain(|it| it.interface.as_ref() != Some(name));
    observed.addresses.push(Address {
        interface: name.clone(),
        address: own,
    });
    observed.routes.push(Route {
        table: ROBOT_TABLE,
        destination: own.trunc(),
        interface: Some(name.clone()),
        gateway: None,
        source: Some(own.addr()),
        metric: 100,
        protocol: 2,
    });
}
