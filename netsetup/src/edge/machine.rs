//! The machine that is looked at and changed: the kernel, the firewall, NetworkManager.

use std::error::Error;

use netsetup_core::engine::Failure;
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::Observed;
use netsetup_core::plan::Step;
use uuid::Uuid;

use super::firewall::{self, Firewall};
use super::manager::{self, Checkpoint, Failures, Manager};
use super::netlink::{self, Kernel, Watch};
use super::{country, fault};

/// All that netsetup looks at and changes.
#[derive(Debug)]
pub struct Machine {
    kernel: Kernel,
    firewall: Firewall,
    bus: Option<String>,
    manager: Option<Manager>,
    failures: Failures,
    checkpoint: Option<Checkpoint>,
}

impl Machine {
    /// Opens the way to the kernel; NetworkManager is found on the bus at `bus`, the system bus if there is none. What
    /// its devices have failed of is read from `failures`, which somebody else fills by listening.
    ///
    /// # Errors
    /// When the kernel cannot be talked to.
    pub fn open(bus: Option<String>, failures: Failures) -> Result<Self, Failure> {
        let kernel = Kernel::open()?;
        let firewall = Firewall::open()?;
        Ok(Self {
            kernel,
            firewall,
            bus,
            manager: None,
            failures,
            checkpoint: None,
        })
    }

    /// Listens for changes of the kernel's network.
    ///
    /// # Errors
    /// When the kernel cannot be listened to.
    pub async fn watch(&mut self) -> Result<Watch, Failure> {
        Ok(self.kernel.watch().await?)
    }

    /// Looks at everything. A NetworkManager that does not run is not an error, it is what there is.
    ///
    /// # Errors
    /// What could not be looked at.
    pub async fn observe(&mut self) -> Result<Observed, Failure> {
        let (kernel, firewall) = tokio::join!(self.kernel.observe(), self.firewall.observe());
        let kernel = kernel?;
        let firewall = firewall?;
        let country = country::observe().await?;
        let manager = match self.manager().await {
            Some(manager) => manager.observe().await,
            None => Ok(None),
        };
        // Without NetworkManager, or without a bus, the kernel's part is still looked after.
        let manager = manager.unwrap_or_else(|error| {
            tracing::warn!(kind = error.kind(), "{}", chain(&error));
            self.manager = None;
            None
        });
        Ok(Observed {
            links: kernel.links,
            addresses: kernel.addresses,
            routes: kernel.routes,
            rules: kernel.rules,
            firewall,
            country,
            manager,
            ..Observed::default()
        })
    }

    /// Undoes what an earlier life of ours has begun and not finished: it would be undone in the middle of this one.
    pub async fn roll_back_leftovers(&mut self) {
        if let Some(manager) = self.manager().await
            && let Err(error) = manager.roll_back_leftovers().await
        {
            tracing::debug!(kind = error.kind(), "{}", chain(&error));
        }
    }

    /// Does all steps in order. Where one of NetworkManager's fails, all of them are undone; what the kernel refuses
    /// keeps it from nothing else.
    ///
    /// # Errors
    /// Which step could not be done, and why.
    pub async fn apply(&mut self, steps: &[Step], devices: &[InterfaceName]) -> Result<(), Failure> {
        if self.checkpoint.is_none() && steps.iter().any(Step::needs_checkpoint) {
            self.begin(devices).await?;
        }
        fault::point();
        let mut first = Ok(());
        for step in steps {
            let done = self.apply_one(step).await;
            if done.is_err() && step.needs_checkpoint() {
                self.roll_back().await;
                return done;
            }
            first = first.and(done);
            fault::point();
        }
        first
    }

    /// What NetworkManager did since the checkpoint is good.
    ///
    /// # Errors
    /// When it could not be told so: then it undoes that by itself after a while.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        match self.checkpoint.take() {
            Some(checkpoint) => Ok(checkpoint.commit().await?),
            None => Ok(()),
        }
    }

    /// What NetworkManager did since the checkpoint is undone.
    pub async fn roll_back(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take()
            && let Err(error) = checkpoint.roll_back().await
        {
            tracing::warn!(kind = error.kind(), "{}", chain(&error));
        }
    }

    /// Uses a profile that NetworkManager has given up; under no checkpoint, as nothing is changed.
    ///
    /// # Errors
    /// Why NetworkManager did not even try.
    pub async fn try_again(&mut self, profile: Uuid, device: &InterfaceName) -> Result<(), Failure> {
        match self.manager().await {
            Some(manager) => Ok(manager.try_again(profile, device).await?),
            None => Ok(()),
        }
    }

    async fn begin(&mut self, devices: &[InterfaceName]) -> Result<(), Failure> {
        let Some(manager) = &self.manager else {
            return Ok(());
        };
        self.checkpoint = Some(manager.checkpoint(devices).await?);
        Ok(())
    }

    async fn apply_one(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::LoadFirewall(ruleset) => Ok(firewall::load(ruleset).await?),
            Step::SetCountry(code) => Ok(country::set(*code).await?),
            Step::ConfigureLink(..)
            | Step::AddRule(_)
            | Step::DeleteRule(_)
            | Step::AddRoute(_)
            | Step::DeleteRoute(_) => Ok(self.kernel.apply(step).await?),
            Step::Manage(_)
            | Step::AddProfile(_)
            | Step::UpdateProfile(_)
            | Step::DeleteProfile(_)
            | Step::Activate(..) => match &mut self.checkpoint {
                Some(checkpoint) => Ok(checkpoint.apply(step).await?),
                None => Ok(()),
            },
        }
    }

    /// The bus may come later than we do, and NetworkManager later than the bus.
    async fn manager(&mut self) -> Option<&Manager> {
        if self.manager.is_none() {
            match Manager::connect(self.bus.as_deref(), self.failures.clone()).await {
                Ok(manager) => self.manager = Some(manager),
                Err(error) => tracing::debug!(kind = error.kind(), "{}", chain(&error)),
            }
        }
        self.manager.as_ref()
    }
}

impl From<netlink::Error> for Failure {
    fn from(error: netlink::Error) -> Self {
        failure(error.kind(), &error, error.is_retryable())
    }
}

impl From<firewall::Error> for Failure {
    fn from(error: firewall::Error) -> Self {
        failure(error.kind(), &error, error.is_retryable())
    }
}

impl From<manager::Error> for Failure {
    fn from(error: manager::Error) -> Self {
        failure(error.kind(), &error, error.is_retryable())
    }
}

/// An error as the engine takes it.
pub fn failure(kind: &'static str, error: &dyn Error, is_retryable: bool) -> Failure {
    Failure {
        kind,
        sentence: chain(error),
        is_retryable,
    }
}

/// An error and what it comes from, in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line.replace('\n', " ")
}
