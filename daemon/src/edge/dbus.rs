//! The D-Bus name `org.spotstream.Daemon1`: the status for all, requests for root and the group `spotstream`.
//!
//! Who may do what is the bus's business (`dist/usr/share/dbus-1/system.d`). A bus that is absent or restarts never
//! stops the stream.

use std::collections::HashMap;
use std::time::Duration;

use spotstream_core::robot::stream_parameters::{Frames, StreamParameters, UnknownAwbMode};
use spotstream_core::units::Bitrate;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};
use zbus::object_server::InterfaceRef;
use zbus::{Connection, DBusError, OwnedVariant, Str, Variant, connection, interface};

use super::pins::{Pin, Role};
use crate::control::{Control, Figure, Refusal, Request, Status, figures_of};

/// The bus name and the interface.
pub const NAME: &str = "org.spotstream.Daemon1";
/// The object.
pub const PATH: &str = "/org/spotstream/Daemon1";

/// The bus is absent while the machine starts; later it is absent for ever or back soon.
const RETRY: Duration = Duration::from_secs(5);
/// A change of figures alone is told this often at most.
const FIGURES: Duration = Duration::from_secs(1);

/// Why a call failed, as the caller sees it: `org.spotstream.Daemon1.Error.*`.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.spotstream.Daemon1.Error")]
pub enum CallError {
    /// The bus, not the daemon.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The arguments mean nothing.
    Invalid(String),
    /// Asking again is of no use until something else has changed.
    Refused(String),
    /// Asking again later may help.
    NotNow(String),
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_retryable {
            Self::NotNow(refusal.sentence)
        } else {
            Self::Refused(refusal.sentence)
        }
    }
}

/// Serves the bus at `address`, the system bus if there is none, until the run loop has dropped its end of `control`.
pub async fn serve(mut control: Control, address: Option<String>) {
    let mut warned = false;
    while control.status.has_changed().is_ok() {
        match connect(&control, address.as_deref()).await {
            Ok(connection) => {
                warned = false;
                info!(name = NAME, "serving the system bus");
                let lost = publish(&connection, control.status.clone()).await;
                if let Err(error) = lost {
                    warn!("lost the system bus, 'spotstreamctl' will not work until it is back: {error}");
                }
            }
            Err(error) if !warned => {
                warned = true;
                warn!(
                    "failed to serve the system bus, 'spotstreamctl' will not work until it is there: {error}"
                );
            }
            Err(_) => {}
        }
        let gone = async { while control.status.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(RETRY, gone).await;
    }
}

async fn connect(control: &Control, address: Option<&str>) -> zbus::Result<Connection> {
    let daemon = Daemon {
        control: control.clone(),
    };
    let builder = address.map_or_else(connection::Builder::system, connection::Builder::address);
    builder.serve_at(PATH, daemon).name(NAME).build().await
}

/// Tells what has changed; ends well when the run loop is gone, with an error when the bus is.
async fn publish(connection: &Connection, mut status: watch::Receiver<Status>) -> zbus::Result<()> {
    let daemon = connection.object_server().interface::<_, Daemon>(PATH).await?;
    let mut told = status.borrow_and_update().clone();
    let mut figures_from = Instant::now();
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep_until(figures_from), if status.borrow().statistics != told.statistics => {}
            () = connection.closed() => return Err(zbus::Error::Failure("the connection is closed".to_owned())),
        }
        let mut now = status.borrow_and_update().clone();
        if Instant::now() < figures_from {
            now.statistics = told.statistics.clone();
        } else if now.statistics != told.statistics {
            figures_from = Instant::now() + FIGURES;
        }
        tell(&daemon, &told, &now).await?;
        told = now;
    }
}

async fn tell(daemon: &InterfaceRef<Daemon>, told: &Status, now: &Status) -> zbus::Result<()> {
    let emitter = daemon.signal_emitter();
    let daemon = daemon.get().await;
    if now.state != told.state {
        daemon.state_changed(emitter).await?;
    }
    if now.reason_kind != told.reason_kind {
        daemon.reason_kind_changed(emitter).await?;
    }
    if now.reason != told.reason {
        daemon.reason_changed(emitter).await?;
    }
    if now.statistics != told.statistics {
        daemon.statistics_changed(emitter).await?;
    }
    if now.stream_parameters != told.stream_parameters {
        daemon.stream_parameters_changed(emitter).await?;
    }
    if now.screen != told.screen {
        daemon.screen_changed(emitter).await?;
    }
    if now.payload_guid != told.payload_guid {
        daemon.payload_guid_changed(emitter).await?;
    }
    if now.pins != told.pins {
        daemon.pins_changed(emitter).await?;
    }
    Ok(())
}

struct Daemon {
    control: Control,
}

type Dictionary = HashMap<String, OwnedVariant>;

#[interface(name = "org.spotstream.Daemon1")]
impl Daemon {
    /// Goes live.
    async fn start(&self) -> Result<(), CallError> {
        Ok(self.control.ask(|reply| Request::Start { reply }).await?)
    }

    /// Stops, and gives the camera its settings back.
    async fn stop(&self) -> Result<(), CallError> {
        Ok(self.control.ask(|reply| Request::Stop { reply }).await?)
    }

    /// The names of the camera's screens.
    async fn list_screens(&self) -> Result<Vec<String>, CallError> {
        Ok(self.control.ask(|reply| Request::ListScreens { reply }).await?)
    }

    /// Shows another screen.
    async fn set_screen(&self, name: &str) -> Result<(), CallError> {
        let name = name.to_owned();
        Ok(self
            .control
            .ask(|reply| Request::SetScreen { name, reply })
            .await?)
    }

    /// Changes `target_bitrate_bps`, `refresh_interval_frames`, `idr_interval_frames` (t) and `awb_mode` (s);
    /// gives what the camera says it does then.
    async fn set_camera(&self, change: HashMap<String, OwnedVariant>) -> Result<Dictionary, CallError> {
        let change = read_change(&change)?;
        let applied = self
            .control
            .ask(|reply| Request::SetCamera { change, reply })
            .await?;
        Ok(dictionary(figures_of(&applied)))
    }

    /// Trusts the certificate that the "robot" or the "camera" has shown instead of the pinned one; gives how many
    /// pins were replaced.
    async fn accept_pin(&self, peer: &str) -> Result<u32, CallError> {
        let role: Role = peer
            .parse()
            .map_err(|_| CallError::Invalid("the peer must be 'robot' or 'camera'".to_owned()))?;
        Ok(self
            .control
            .ask(|reply| Request::AcceptPin { role, reply })
            .await?)
    }

    /// The stable word of the state.
    #[zbus(property)]
    fn state(&self) -> String {
        self.control.status.borrow().state.to_owned()
    }

    /// The stable word of the reason, empty when all is well.
    #[zbus(property)]
    fn reason_kind(&self) -> String {
        self.control.status.borrow().reason_kind.to_string()
    }

    /// Why it is so, as a sentence for people.
    #[zbus(property)]
    fn reason(&self) -> String {
        self.control.status.borrow().reason.clone()
    }

    /// What was measured; each name carries its unit.
    #[zbus(property)]
    fn statistics(&self) -> Dictionary {
        dictionary(self.control.status.borrow().statistics.figures())
    }

    /// What the camera says it does.
    #[zbus(property)]
    fn stream_parameters(&self) -> Dictionary {
        dictionary(figures_of(&self.control.status.borrow().stream_parameters))
    }

    /// What the picture shows, empty when it is not known.
    #[zbus(property)]
    fn screen(&self) -> String {
        self.control.status.borrow().screen.clone().unwrap_or_default()
    }

    /// Our GUID in the robot's list of payloads, empty when there is none.
    #[zbus(property)]
    fn payload_guid(&self) -> String {
        self.control
            .status
            .borrow()
            .payload_guid
            .clone()
            .unwrap_or_default()
    }

    /// The certificates that are trusted: `peer`, `host`, `trusted`, and `shown` when another one was shown since.
    #[zbus(property)]
    fn pins(&self) -> Vec<Dictionary> {
        self.control.status.borrow().pins.iter().map(pin).collect()
    }

    /// The version of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }
}

fn dictionary(figures: Vec<(&'static str, Figure)>) -> Dictionary {
    figures
        .into_iter()
        .map(|(name, figure)| (name.to_owned(), variant(figure)))
        .collect()
}

fn variant(figure: Figure) -> OwnedVariant {
    match figure {
        Figure::Count(count) => OwnedVariant::from(count),
        Figure::Real(number) => OwnedVariant::from(number),
        Figure::Word(word) => OwnedVariant::from(Str::from(word)),
    }
}

fn pin(pin: &Pin) -> Dictionary {
    let mut words = vec![("peer", pin.role.to_string()), ("host", pin.name.clone())];
    words.extend(pin.pinned.map(|trusted| ("trusted", trusted.to_string())));
    words.extend(pin.refused.map(|shown| ("shown", shown.to_string())));
    dictionary(
        words
            .into_iter()
            .map(|(name, word)| (name, Figure::Word(word)))
            .collect(),
    )
}

fn read_change(change: &HashMap<String, OwnedVariant>) -> Result<StreamParameters, CallError> {
    let mut parameters = StreamParameters::default();
    for (name, value) in change {
        let wrong = || {
            CallError::Invalid(format!(
                "the value of '{name}' has the wrong type or is too large"
            ))
        };
        match name.as_str() {
            "target_bitrate_bps" => {
                parameters.target_bitrate = Some(Bitrate::bps(count(value).ok_or_else(wrong)?))
            }
            "refresh_interval_frames" => parameters.refresh_interval = Some(frames(value).ok_or_else(wrong)?),
            "idr_interval_frames" => parameters.idr_interval = Some(frames(value).ok_or_else(wrong)?),
            "awb_mode" => {
                let word = <&str>::try_from(&**value).map_err(|_| wrong())?;
                let mode = word
                    .parse()
                    .map_err(|error: UnknownAwbMode| CallError::Invalid(error.to_string()))?;
                parameters.awb = Some(mode);
            }
            _ => return Err(CallError::Invalid("the camera has no such parameter".to_owned())),
        }
    }
    if parameters.is_empty() {
        return Err(CallError::Invalid("nothing to change was given".to_owned()));
    }
    Ok(parameters)
}

/// Any integer that a caller's language picks for a small number (`busctl` and Python prefer int32).
fn count(value: &OwnedVariant) -> Option<u64> {
    if let Variant::I32(number) = **value {
        return u64::try_from(number).ok();
    }
    if let Variant::I64(number) = **value {
        return u64::try_from(number).ok();
    }
    if let Variant::U32(number) = **value {
        return Some(number.into());
    }
    u64::try_from(&**value).ok()
}

fn frames(value: &OwnedVariant) -> Option<Frames> {
    u32::try_from(count(value)?)
        .ok()
        .map(|frames| Frames(frames.into()))
}
