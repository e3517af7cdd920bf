//! What is wanted and what there is, with the questions that all of the plan asks of them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::address::{self, Choice};
use crate::desired::Desired;
use crate::names::InterfaceName;
use crate::observed::{Device, Link, Observed, StoredProfile};
use crate::profile::Profile;
use crate::select::{self, Selection, Uplink};
use crate::status::Reason;

/// NMDeviceState: nobody has given the device to NetworkManager.
pub(super) const UNMANAGED: u32 = 10;
/// NMDeviceState: no cable, no firmware, radio off.
pub(super) const UNAVAILABLE: u32 = 20;
/// NMDeviceState: ready to be used.
pub(super) const DISCONNECTED: u32 = 30;
/// NMDeviceState: it asks for a password.
pub(super) const NEED_AUTH: u32 = 60;
/// NMDeviceState: in use.
pub(super) const ACTIVATED: u32 = 100;
/// NMDeviceState: about to be disconnected again.
pub(super) const FAILED: u32 = 120;
/// NMDeviceStateReason: somebody else has our address (RFC 5227).
pub(super) const ADDRESS_DUPLICATE: u32 = 64;

/// What is wanted and what there is.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) robot: Result<InterfaceName, Reason>,
    pub(super) uplink: Result<Uplink, Reason>,
    pub(super) notes: Vec<String>,
    pub(super) choice: Choice,
}

impl<'a> Scene<'a> {
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed, selection: Selection) -> Self {
        let mut scene = Self {
            desired,
            observed,
            robot: selection.robot,
            uplink: selection.uplink,
            notes: selection.notes,
            choice: Choice::unknown(),
        };
        scene.choice = address::choose(&scene);
        scene
    }

    pub(super) fn robot_link(&self) -> Option<&'a Link> {
        select::link(self.robot.as_ref().ok()?, self.observed)
    }

    pub(super) fn robot_device(&self) -> Option<&'a Device> {
        select::device(self.robot.as_ref().ok()?, self.observed)
    }

    pub(super) fn uplink_link(&self) -> Option<&'a Link> {
        select::link(&self.uplink.as_ref().ok()?.interface, self.observed)
    }

    pub(super) fn uplink_device(&self) -> Option<&'a Device> {
        select::device(&self.uplink.as_ref().ok()?.device, self.observed)
    }

    /// Our addresses on the robot's interface, ours to use or not.
    pub(super) fn robot_addresses(&self) -> Vec<Ipv4Net> {
        self.robot_link()
            .map_or_else(Vec::new, |link| self.addresses(&link.name))
    }

    /// Our addresses on the uplink.
    pub(super) fn uplink_addresses(&self) -> Vec<Ipv4Net> {
        self.uplink_link()
            .map_or_else(Vec::new, |link| self.addresses(&link.name))
    }

    fn addresses(&self, name: &InterfaceName) -> Vec<Ipv4Net> {
        self.observed
            .addresses
            .iter()
            .filter(|it| it.interface == *name)
            .map(|it| it.address)
            .collect()
    }

    /// The way out, while the uplink is in use.
    pub(super) fn gateway(&self) -> Option<Ipv4Addr> {
        self.uplink_device()
            .filter(|device| device.state == ACTIVATED)?
            .gateway
    }

    /// Profiles with our mark.
    pub(super) fn profiles(&self) -> &'a [StoredProfile] {
        self.observed
            .manager
            .as_ref()
            .map_or(&[], |manager| &manager.profiles)
    }

    /// The robot's profile as it is kept now.
    pub(super) fn robot_profile(&self) -> Option<&'a StoredProfile> {
        let uuid = Profile::robot();
        self.profiles().iter().find(|stored| stored.uuid == uuid)
    }
}
