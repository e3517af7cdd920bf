//! systemd, as far as we call it (org.freedesktop.systemd1(5)).

use zbus::{Connection, MatchRule, OwnedObjectPath, message};

/// The service manager.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub trait Manager {
    /// Without it there are no signals.
    fn subscribe(&self) -> zbus::Result<()>;

    /// The object of a unit, by any of its names.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;

    /// Restarts a unit that runs, and no other; `mode` is "replace".
    fn try_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Starts a unit; `mode` is "replace".
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
}

/// One unit.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
pub trait Unit {
    /// "active", "failed" and others.
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
}

/// Restarts the machine in an orderly way.
///
/// # Errors
/// What the bus or systemd says.
pub async fn restart_machine(connection: &Connection) -> zbus::Result<()> {
    let manager = ManagerProxy::new(connection).await?;
    manager
        .start_unit("reboot.target", "replace-irreversibly")
        .await
        .map(drop)
}

/// Changes of units.
///
/// # Errors
/// None that can be met: the names are right.
pub fn unit_changes() -> zbus::Result<MatchRule<'static>> {
    MatchRule::builder()
        .msg_type(message::Type::Signal)
        .path_namespace("/org/freedesktop/systemd1/unit")
        .interface("org.freedesktop.DBus.Properties")
        .member("PropertiesChanged")
        .add_arg("org.freedesktop.systemd1.Unit")
        .build()
}

/// A name that gets or loses its owner.
///
/// # Errors
/// A name that is none.
pub fn owner_changes(name: &'static str) -> zbus::Result<MatchRule<'static>> {
    MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(name)
        .build()
}

/// Whether somebody has the name.
///
/// # Errors
/// What the bus says.
pub async fn has_owner(connection: &Connection, name: &str) -> zbus::Result<bool> {
    let bus = "org.freedesktop.DBus";
    let reply = connection
        .call_method(
            Some(bus),
            "/org/freedesktop/DBus",
            Some(bus),
            "NameHasOwner",
            &(name,),
        )
        .await?;
    reply.body().deserialize()
}
