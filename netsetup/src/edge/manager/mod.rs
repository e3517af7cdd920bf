//! NetworkManager, over D-Bus: what it has, and what it is told.
//!
//! `proxy` is the wire, `dictionary` and `reading` are a profile to and from NetworkManager's words, `observing` is
//! what its objects say. Profiles are kept in memory (files of mode 0600 in /run): they outlive NetworkManager, and the
//! settings file stays the only place where a passphrase is stored.

mod checkpoint;
mod dictionary;
mod error;
mod failures;
mod observing;
mod proxy;
mod reading;
mod watch;

use std::time::Duration;

use futures_util::future::try_join_all;
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::{self, StoredProfile};
use tokio::sync::mpsc;
use tracing::warn;
use uuid::Uuid;
use zbus::{Connection, connection, fdo};

pub use checkpoint::Checkpoint;
pub use error::Error;
pub use failures::Failures;
pub use watch::Changed;

use proxy::{NetworkManagerProxy, ObjectsProxy, ProfileProxy, Received};

/// NetworkManager answers within milliseconds, or it hangs.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to the bus that NetworkManager is on; cheap to clone.
#[derive(Clone, Debug)]
pub struct Manager {
    bus: Connection,
    failures: Failures,
}

impl Manager {
    /// Calls at the bus at `address`, the system bus if there is none. NetworkManager may come later. What one listener
    /// learns of `failures` is what everybody who shares them sees.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub async fn connect(address: Option<&str>, failures: Failures) -> Result<Self, Error> {
        let builder = address.map_or_else(connection::Builder::system, connection::Builder::address);
        let bus = builder.method_timeout(ANSWER).build().await.map_err(Error::Bus)?;
        Ok(Self { bus, failures })
    }

    /// One look; none where NetworkManager is not running.
    ///
    /// # Errors
    /// As of a call that fails; a profile that goes away meanwhile is no error.
    pub async fn observe(&self) -> Result<Option<observed::Manager>, Error> {
        let objects = match self.objects("look at the network").await {
            Ok(objects) => objects,
            Err(Error::Absent(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let paths = observing::profiles(&objects);
        let read = try_join_all(paths.iter().map(|(path, place)| self.profile(path, place))).await?;
        let mut profiles: Vec<_> = read.into_iter().flatten().collect();
        profiles.sort_by_key(|profile| profile.uuid);
        Ok(Some(observed::Manager {
            devices: observing::devices(&objects, &self.failures),
            profiles,
        }))
    }

    /// Sends [`Changed`] until the receiver is gone, which is a good end, or the bus is.
    ///
    /// # Errors
    /// [`Error::Bus`]: connect again.
    pub async fn watch(&self, changes: mpsc::Sender<Changed>) -> Result<(), Error> {
        watch::watch(&self.bus, &self.failures, &changes)
            .await
            .map_err(Error::Bus)
    }

    /// Uses a profile that NetworkManager has given up, with nothing to undo it.
    ///
    /// # Errors
    /// As of a call that fails.
    pub async fn try_again(&self, profile: Uuid, device: &InterfaceName) -> Result<(), Error> {
        self.activate(profile, Some(device)).await
    }

    /// Undoes what an earlier life of ours had begun and not finished; gives how many times it had.
    ///
    /// # Errors
    /// As of a call that fails.
    pub async fn roll_back_leftovers(&self) -> Result<usize, Error> {
        let action = "undo what an earlier run had begun";
        let objects = self.objects(action).await?;
        let leftovers = observing::checkpoints(&objects, checkpoint::ROLLBACK_SECONDS);
        let manager = self.manager(action).await?;
        for path in &leftovers {
            warn!("an earlier run did not finish what it had begun; NetworkManager undoes it");
            let path = object(action, path)?;
            manager
                .checkpoint_rollback(&path)
                .await
                .map_err(|error| Error::of(action, error))?;
        }
        Ok(leftovers.len())
    }

    /// A profile that bears our mark; none for others, and for one that is gone by now.
    async fn profile(&self, path: &str, place: &str) -> Result<Option<StoredProfile>, Error> {
        let action = "read a profile";
        let proxy = self.profile_proxy(action, path).await?;
        let mut received = match proxy.get_settings().await {
            Ok(received) => received,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(Error::of(action, error)),
        };
        if !reading::is_ours(&received) {
            return Ok(None);
        }
        let Some(uuid) = reading::uuid(&received) else {
            return Ok(None);
        };
        if let Some(section) = reading::section_with_secrets(&received) {
            match proxy.get_secrets(section).await {
                Ok(secrets) => merge(&mut received, secrets),
                // None are stored: a key that is not encrypted, or a passphrase that somebody took out.
                Err(error) if is_no_secrets(&error) => {}
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(Error::of("read the secrets of a profile", error)),
            }
        }
        Ok(Some(StoredProfile {
            uuid,
            // One that somebody has saved is not as we made it: its secrets are on the disk.
            profile: reading::read(&received).filter(|_| place.starts_with(proxy::IN_MEMORY)),
        }))
    }

    async fn objects(&self, action: &str) -> Result<fdo::ManagedObjects, Error> {
        let proxy = ObjectsProxy::new(&self.bus).await;
        let proxy = proxy.map_err(|error| Error::of(action, error))?;
        proxy
            .get_managed_objects()
            .await
            .map_err(|error| Error::of(action, error))
    }

    async fn manager(&self, action: &str) -> Result<NetworkManagerProxy<'_>, Error> {
        NetworkManagerProxy::new(&self.bus)
            .await
            .map_err(|error| Error::of(action, error))
    }

    async fn profile_proxy<'a>(&self, action: &str, path: &'a str) -> Result<ProfileProxy<'a>, Error> {
        ProfileProxy::new(&self.bus, path)
            .await
            .map_err(|error| Error::of(action, error))
    }
}

fn merge(received: &mut Received, secrets: Received) {
    for (section, keys) in secrets {
        received.entry(section).or_default().extend(keys);
    }
}

fn is_gone(error: &zbus::Error) -> bool {
    let zbus::Error::FDO(known) = error else {
        return false;
    };
    matches!(
        **known,
        fdo::Error::UnknownObject(_) | fdo::Error::UnknownMethod(_) | fdo::Error::UnknownInterface(_)
    )
}

fn is_no_secrets(error: &zbus::Error) -> bool {
    let zbus::Error::MethodError(name, _, _) = error else {
        return false;
    };
    name.ends_with(".NoSecrets")
}

fn object<'a>(action: &str, path: &'a str) -> Result<zbus::ObjectPath<'a>, Error> {
    zbus::ObjectPath::try_from(path).map_err(|error| Error::of(action, error))
}
