//! Changes that are undone when they do not come to an end.

use std::collections::HashMap;

use netsetup_core::names::InterfaceName;
use netsetup_core::plan::Step;
use netsetup_core::profile::Profile;
use uuid::Uuid;
use zbus::OwnedObjectPath;
use zbus::fdo::ManagedObjects;

use super::proxy::{ADD_IN_MEMORY, DeviceProxy, NONE, Sent, SettingsProxy, UPDATE_IN_MEMORY_ONLY};
use super::{Error, Manager, dictionary, object, observing};

/// When NetworkManager undoes what we have begun, should we be gone. It does not say who made a checkpoint: by this
/// number our own are known, which nmstate (60) and cockpit (7) do not use.
pub(super) const ROLLBACK_SECONDS: u32 = 29;

/// NetworkManager remembers how the devices were; what is applied here is undone by [`Checkpoint::roll_back`], or by
/// NetworkManager after 29 seconds.
///
/// `DELETE_NEW_CONNECTIONS` is not used: it takes the profiles along that somebody else has added meanwhile.
#[derive(Debug)]
#[must_use = "NetworkManager undoes everything unless it is committed"]
pub struct Checkpoint {
    manager: Manager,
    path: OwnedObjectPath,
    added: Vec<OwnedObjectPath>,
    to_delete: Vec<Uuid>,
}

impl Manager {
    /// Remembers how these devices are now, all where none is named.
    ///
    /// # Errors
    /// A device that is part of somebody else's checkpoint, or is not there; as of a call that fails.
    pub async fn checkpoint(&self, devices: &[InterfaceName]) -> Result<Checkpoint, Error> {
        let action = "begin a change of the network";
        let objects = self.objects(action).await?;
        let paths = devices
            .iter()
            .map(|name| path_of(action, &objects, name))
            .collect::<Result<Vec<_>, _>>()?;
        let paths = paths
            .iter()
            .map(|path| object(action, path))
            .collect::<Result<Vec<_>, _>>()?;
        let path = self
            .manager(action)
            .await?
            .checkpoint_create(&paths, ROLLBACK_SECONDS, 0)
            .await
            .map_err(|error| Error::of(action, error))?;
        Ok(Checkpoint {
            manager: self.clone(),
            path,
            added: Vec::new(),
            to_delete: Vec::new(),
        })
    }
}

impl Checkpoint {
    /// Does one step. A profile is taken away by [`Checkpoint::commit`] only: NetworkManager undoes that by writing the
    /// profile to the disk, with its secrets.
    ///
    /// # Errors
    /// [`Error::NotForManager`] for a step of netlink or nft; as of a call that fails.
    pub async fn apply(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Manage(name) => self.manager.manage(name).await,
            Step::AddProfile(profile) => {
                self.added.push(self.manager.add(profile).await?);
                Ok(())
            }
            Step::UpdateProfile(profile) => self.manager.update(profile).await,
            Step::DeleteProfile(uuid) => {
                self.to_delete.push(*uuid);
                Ok(())
            }
            Step::Activate(uuid, device) => self.manager.activate(*uuid, device.as_ref()).await,
            Step::LoadFirewall(_)
            | Step::ConfigureLink(..)
            | Step::SetCountry(_)
            | Step::AddRule(_)
            | Step::DeleteRule(_)
            | Step::AddRoute(_)
            | Step::DeleteRoute(_) => Err(Error::NotForManager),
        }
    }

    /// Keeps what has been applied, and takes away the profiles that were to go.
    ///
    /// # Errors
    /// As of a call that fails: then nothing is undone but by NetworkManager, after its time.
    pub async fn commit(self) -> Result<(), Error> {
        let action = "end a change of the network";
        let manager = self.manager.manager(action).await?;
        manager
            .checkpoint_destroy(&self.path)
            .await
            .map_err(|error| Error::of(action, error))?;
        for uuid in self.to_delete {
            self.manager.delete(uuid).await?;
        }
        Ok(())
    }

    /// Makes everything as it was.
    ///
    /// # Errors
    /// As of a call that fails; the rest is undone nevertheless.
    pub async fn roll_back(self) -> Result<(), Error> {
        let action = "undo a change of the network";
        let mut first = Ok(());
        // These first: one that may connect by itself would take the device again.
        for path in &self.added {
            first = first.and(self.manager.delete_at(action, path).await);
        }
        let manager = self.manager.manager(action).await?;
        let rolled_back = manager.checkpoint_rollback(&self.path).await;
        first.and(rolled_back.map(drop).map_err(|error| Error::of(action, error)))
    }
}

impl Manager {
    async fn manage(&self, name: &InterfaceName) -> Result<(), Error> {
        let action = format!("take over '{name}'");
        let objects = self.objects(&action).await?;
        let path = path_of(&action, &objects, name)?;
        let device = self.device_proxy(&action, &path).await?;
        device
            .set_managed(true)
            .await
            .map_err(|error| Error::of(&action, error))
    }

    async fn add(&self, profile: &Profile) -> Result<OwnedObjectPath, Error> {
        let action = format!("add the profile '{}'", profile.id());
        let settings = self.settings(&action).await?;
        let added = settings
            .add_connection2(&dictionary::render(profile), ADD_IN_MEMORY, HashMap::new())
            .await;
        let (path, _) = added.map_err(|error| Error::of(&action, error))?;
        Ok(path)
    }

    async fn update(&self, profile: &Profile) -> Result<(), Error> {
        let action = format!("change the profile '{}'", profile.id());
        let path = self.find(&action, profile.uuid()).await?;
        let proxy = self.profile_proxy(&action, path.as_str()).await?;
        let updated = proxy
            .update2(
                &dictionary::render(profile),
                UPDATE_IN_MEMORY_ONLY,
                HashMap::new(),
            )
            .await;
        updated.map(drop).map_err(|error| Error::of(&action, error))
    }

    async fn delete(&self, uuid: Uuid) -> Result<(), Error> {
        let action = format!("take away the profile {uuid}");
        let path = self.find(&action, uuid).await?;
        self.delete_at(&action, &path).await
    }

    async fn delete_at(&self, action: &str, path: &OwnedObjectPath) -> Result<(), Error> {
        let proxy = self.profile_proxy(action, path.as_str()).await?;
        proxy.delete().await.map_err(|error| Error::of(action, error))
    }

    /// Uses a profile. Where the device uses it already, addresses and routes that are missing are put back, and the
    /// link stays: WiFi need not associate anew.
    pub(super) async fn activate(&self, uuid: Uuid, device: Option<&InterfaceName>) -> Result<(), Error> {
        let action = match device {
            Some(name) => format!("use the profile {uuid} on '{name}'"),
            None => format!("use the profile {uuid}"),
        };
        let profile = self.find(&action, uuid).await?;
        let device = match device {
            Some(name) => {
                let objects = self.objects(&action).await?;
                let path = path_of(&action, &objects, name)?;
                if observing::uses(&objects, &path, uuid) && self.reapply(&action, &path).await? {
                    return Ok(());
                }
                path
            }
            None => NONE.to_owned(),
        };
        let manager = self.manager(&action).await?;
        let activated = manager
            .activate_connection(&profile, &object(&action, &device)?, &object(&action, NONE)?)
            .await;
        activated.map(drop).map_err(|error| Error::of(&action, error))
    }

    /// Whether that was enough; what changes the link itself cannot be reapplied.
    async fn reapply(&self, action: &str, path: &str) -> Result<bool, Error> {
        let device = self.device_proxy(action, path).await?;
        let Err(error) = device.reapply(&Sent::new(), 0, 0).await else {
            return Ok(true);
        };
        let error = Error::of(action, error);
        if matches!(error, Error::Failed { .. } | Error::Invalid { .. }) {
            return Ok(false);
        }
        Err(error)
    }

    async fn find(&self, action: &str, uuid: Uuid) -> Result<OwnedObjectPath, Error> {
        let settings = self.settings(action).await?;
        settings
            .get_connection_by_uuid(&uuid.to_string())
            .await
            .map_err(|error| Error::of(action, error))
    }

    async fn device_proxy<'a>(&self, action: &str, path: &'a str) -> Result<DeviceProxy<'a>, Error> {
        DeviceProxy::new(&self.bus, path)
            .await
            .map_err(|error| Error::of(action, error))
    }

    async fn settings(&self, action: &str) -> Result<SettingsProxy<'_>, Error> {
        SettingsProxy::new(&self.bus)
            .await
            .map_err(|error| Error::of(action, error))
    }
}

fn path_of(action: &str, objects: &ManagedObjects, name: &InterfaceName) -> Result<String, Error> {
    observing::device_path(objects, name)
        .ok_or_else(|| Error::NoDevice(action.to_owned(), name.as_str().to_owned()))
}
