//! NetworkManager as the wire has it (org.freedesktop.NetworkManager(5) of version 1.52), as far as we call it.

use std::collections::{BTreeMap, HashMap};

use zbus::fdo::ManagedObjects;
use zbus::{ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

/// The bus name.
pub(super) const NAME: &str = "org.freedesktop.NetworkManager";
/// No object.
pub(super) const NONE: &str = "/";

/// Where the files of profiles are that are kept in memory only.
pub(super) const IN_MEMORY: &str = "/run/";

/// Settings of a profile as they are sent: section, key, value (`a{sa{sv}}`).
pub(super) type Sent = BTreeMap<&'static str, BTreeMap<&'static str, Variant<'static>>>;
/// Settings of a profile as they are received.
pub(super) type Received = HashMap<String, HashMap<String, OwnedVariant>>;

/// NMSettingsAddConnection2Flags: a keyfile in /run, none in /etc.
pub(super) const ADD_IN_MEMORY: u32 = 0x2;
/// NMSettingsUpdate2Flags: a keyfile in /run, and whatever was on the disk is taken away.
pub(super) const UPDATE_IN_MEMORY_ONLY: u32 = 0x8;

/// All that is there, in one call.
#[zbus::proxy(
    interface = "org.freedesktop.DBus.ObjectManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop"
)]
pub(super) trait Objects {
    /// Every object with its properties.
    fn get_managed_objects(&self) -> zbus::Result<ManagedObjects>;
}

/// The manager.
#[zbus::proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
pub(super) trait NetworkManager {
    /// Use a profile on a device; "/" where there is none.
    fn activate_connection(
        &self,
        connection: &ObjectPath<'_>,
        device: &ObjectPath<'_>,
        specific_object: &ObjectPath<'_>,
    ) -> zbus::Result<OwnedObjectPath>;

    /// Remember how these devices are; seconds until NetworkManager rolls back by itself; NMCheckpointCreateFlags.
    fn checkpoint_create(
        &self,
        devices: &[ObjectPath<'_>],
        rollback_timeout: u32,
        flags: u32,
    ) -> zbus::Result<OwnedObjectPath>;

    /// Forget a checkpoint.
    fn checkpoint_destroy(&self, checkpoint: &ObjectPath<'_>) -> zbus::Result<()>;

    /// Make everything as it was; NMRollbackResult by device.
    fn checkpoint_rollback(&self, checkpoint: &ObjectPath<'_>) -> zbus::Result<HashMap<String, u32>>;
}

/// A device.
#[zbus::proxy(
    interface = "org.freedesktop.NetworkManager.Device",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Device {
    /// Whether NetworkManager does anything with it.
    #[zbus(property(emits_changed_signal = "false"))]
    fn set_managed(&self, managed: bool) -> zbus::Result<()>;

    /// Make the device as its profile says, without letting go of the link; an empty dictionary means the profile as it
    /// is stored, version 0 any.
    fn reapply(&self, connection: &Sent, version_id: u64, flags: u32) -> zbus::Result<()>;
}

/// The profiles.
#[zbus::proxy(
    interface = "org.freedesktop.NetworkManager.Settings",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager/Settings"
)]
pub(super) trait Settings {
    /// Add a profile.
    fn add_connection2(
        &self,
        settings: &Sent,
        flags: u32,
        args: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<(OwnedObjectPath, HashMap<String, OwnedVariant>)>;

    /// Find a profile.
    fn get_connection_by_uuid(&self, uuid: &str) -> zbus::Result<OwnedObjectPath>;
}

/// A profile.
#[zbus::proxy(
    interface = "org.freedesktop.NetworkManager.Settings.Connection",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Profile {
    /// What it says, without secrets.
    fn get_settings(&self) -> zbus::Result<Received>;

    /// The secrets of one section.
    fn get_secrets(&self, section: &str) -> zbus::Result<Received>;

    /// Say something else.
    fn update2(
        &self,
        settings: &Sent,
        flags: u32,
        args: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// Take it away.
    fn delete(&self) -> zbus::Result<()>;
}
