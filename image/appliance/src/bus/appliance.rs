//! The D-Bus name `org.spotstream.Appliance1`: what is true of the box, for all; doctor and report for root and the
//! group `spotstream`.

use tokio::sync::{mpsc, oneshot, watch};
use zbus::object_server::InterfaceRef;
use zbus::{Connection, DBusError, interface};

/// The bus name and the interface.
pub const NAME: &str = "org.spotstream.Appliance1";
/// The object.
pub const PATH: &str = "/org/spotstream/Appliance1";

/// Why a call failed, as the caller sees it: `org.spotstream.Appliance1.Error.*`.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.spotstream.Appliance1.Error")]
pub enum CallError {
    /// The bus, not the appliance.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// Asking again later may help.
    NotNow(String),
}

/// What everybody may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Of the image.
    pub version: String,
    /// The slot that runs, empty when it is not known.
    pub slot: String,
    /// A sentence about the start before this one, empty when it was fine.
    pub last_boot: String,
    /// Our addresses, each with its interface.
    pub addresses: Vec<String>,
    /// What became of the settings file.
    pub import: String,
    /// What works, but somebody may want to know.
    pub notes: Vec<String>,
}

/// What callers want.
#[derive(Debug)]
pub enum Request {
    /// The doctor's findings, as JSON.
    Doctor(oneshot::Sender<String>),
    /// The text of the report.
    Report(oneshot::Sender<String>),
    /// What others have written to /run/spotstream has changed.
    Refresh(oneshot::Sender<()>),
}

/// Takes the name on a connection; requests go to `requests`.
///
/// # Errors
/// What the bus says.
pub async fn serve(
    connection: &Connection,
    told: watch::Receiver<Told>,
    requests: mpsc::Sender<Request>,
) -> zbus::Result<InterfaceRef<Appliance>> {
    let server = connection.object_server();
    server.at(PATH, Appliance { told, requests }).await?;
    connection.request_name(NAME).await?;
    server.interface(PATH).await
}

/// Says which properties are new.
///
/// # Errors
/// What the bus says.
pub async fn tell(appliance: &InterfaceRef<Appliance>, before: &Told, now: &Told) -> zbus::Result<()> {
    let emitter = appliance.signal_emitter();
    let appliance = appliance.get().await;
    if before.slot != now.slot {
        appliance.slot_changed(emitter).await?;
    }
    if before.last_boot != now.last_boot {
        appliance.last_boot_changed(emitter).await?;
    }
    if before.addresses != now.addresses {
        appliance.addresses_changed(emitter).await?;
    }
    if before.import != now.import {
        appliance.import_changed(emitter).await?;
    }
    if before.notes != now.notes {
        appliance.notes_changed(emitter).await?;
    }
    Ok(())
}

/// Has a running `watch` read again what others have written; does nothing where it does not run.
///
/// # Errors
/// What the bus says.
pub async fn refresh(connection: &Connection) -> zbus::Result<()> {
    if !super::systemd::has_owner(connection, NAME).await? {
        return Ok(());
    }
    connection
        .call_method(Some(NAME), PATH, Some(NAME), "Refresh", &())
        .await
        .map(drop)
}

/// The object.
#[derive(Debug)]
pub struct Appliance {
    told: watch::Receiver<Told>,
    requests: mpsc::Sender<Request>,
}

#[interface(name = "org.spotstream.Appliance1")]
impl Appliance {
    /// Looks at everything, and says what is wrong and what to do, as JSON:
    /// `{"checks":[{"name","verdict":"ok|problem|unknown","finding","advice"}]}`.
    async fn doctor(&self) -> Result<String, CallError> {
        self.ask(Request::Doctor).await
    }

    /// The text of SPOTSTREAM-REPORT.txt as it would be written now.
    async fn report(&self) -> Result<String, CallError> {
        self.ask(Request::Report).await
    }

    /// What others have written has changed.
    async fn refresh(&self) -> Result<(), CallError> {
        self.ask(Request::Refresh).await
    }

    /// The version of the image.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        self.told.borrow().version.clone()
    }

    /// The slot that runs: "A" or "B".
    #[zbus(property)]
    fn slot(&self) -> String {
        self.told.borrow().slot.clone()
    }

    /// A sentence about the start before this one, empty when it was fine.
    #[zbus(property)]
    fn last_boot(&self) -> String {
        self.told.borrow().last_boot.clone()
    }

    /// Our addresses, each with its interface.
    #[zbus(property)]
    fn addresses(&self) -> Vec<String> {
        self.told.borrow().addresses.clone()
    }

    /// A sentence: what became of the settings file.
    #[zbus(property)]
    fn import(&self) -> String {
        self.told.borrow().import.clone()
    }

    /// What works, but somebody may want to know.
    #[zbus(property)]
    fn notes(&self) -> Vec<String> {
        self.told.borrow().notes.clone()
    }
}

impl Appliance {
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, CallError> {
        let not_now = || CallError::NotNow("the appliance is stopping; ask again when it is back".to_owned());
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| not_now())?;
        answer.await.map_err(|_| not_now())
    }
}
