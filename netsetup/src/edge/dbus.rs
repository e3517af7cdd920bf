//! The D-Bus name `org.spotstream.Network1`: the status for all, `Apply` for root and the group `spotstream`.
//!
//! Who may do what is the bus's business (`dist/usr/share/dbus-1/system.d`). A bus that is absent or restarts never
//! stops the network.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use netsetup_core::engine::Failure;
use tracing::{info, warn};
use zbus::fdo;
use zbus::names::InterfaceName;
use zbus::{Connection, DBusError, Variant, connection, interface};

use crate::control::Control;
use crate::properties::{self, Properties, Value};

/// The bus name and the interface.
pub const NAME: &str = "org.spotstream.Network1";
/// The object.
pub const PATH: &str = "/org/spotstream/Network1";

/// The bus is absent while the machine starts; later it is absent for ever or back soon.
const RETRY: Duration = Duration::from_secs(5);

/// Why a call failed, as the caller sees it: `org.spotstream.Network1.Error.*`.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.spotstream.Network1.Error")]
pub enum CallError {
    /// The bus, not netsetup.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// Asking again is of no use until something else has changed.
    Refused(String),
    /// Asking again later may help.
    NotNow(String),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        if failure.is_retryable {
            Self::NotNow(failure.sentence)
        } else {
            Self::Refused(failure.sentence)
        }
    }
}

/// Serves the bus at `address`, the system bus if there is none, until the run loop has dropped its end of `control`.
pub async fn serve(mut control: Control, address: Option<String>) {
    let mut warned = false;
    while control.status.has_changed().is_ok() {
        let told = properties::of(&control.status.borrow_and_update());
        match connect(&control, address.as_deref()).await {
            Ok(connection) => {
                warned = false;
                info!(name = NAME, "serving the system bus");
                if let Err(error) = publish(&connection, &control, told).await {
                    warn!("lost the system bus, nobody is told about the network until it is back: {error}");
                }
            }
            Err(error) if !warned => {
                warned = true;
                warn!(
                    "failed to serve the system bus, nobody is told about the network until it is there: {error}"
                );
            }
            Err(_) => {}
        }
        let gone = async { while control.status.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(RETRY, gone).await;
    }
}

async fn connect(control: &Control, address: Option<&str>) -> zbus::Result<Connection> {
    let network = Network {
        control: control.clone(),
    };
    let builder = address.map_or_else(connection::Builder::system, connection::Builder::address);
    builder.serve_at(PATH, network).name(NAME).build().await
}

/// Tells what has changed since `told`; ends well when the run loop is gone, with an error when the bus is.
///
/// What has changed together is told in one signal: who sees that a side is ready sees its address too.
async fn publish(connection: &Connection, control: &Control, mut told: Properties) -> zbus::Result<()> {
    let mut status = control.status.clone();
    let interface = connection.object_server().interface::<_, Network>(PATH).await?;
    loop {
        let now = properties::of(&status.borrow_and_update());
        let changed = properties::changed(&told, &now);
        if !changed.is_empty() {
            fdo::Properties::properties_changed(
                interface.signal_emitter(),
                InterfaceName::from_static_str_unchecked(NAME),
                variants(&changed),
                Cow::Borrowed(&[]),
            )
            .await?;
        }
        told = now;
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return Ok(()) },
            () = connection.closed() => return Err(zbus::Error::Failure("the connection is closed".to_owned())),
        }
    }
}

fn variants(properties: &Properties) -> HashMap<&str, Variant<'_>> {
    let variant = |value| match value {
        &Value::Flag(flag) => Variant::from(flag),
        Value::Word(word) => Variant::from(word.as_str()),
        Value::Words(words) => Variant::from(words.clone()),
    };
    properties
        .iter()
        .map(|(&name, value)| (name, variant(value)))
        .collect()
}

struct Network {
    control: Control,
}

impl Network {
    fn word(&self, name: &str) -> String {
        match properties::of(&self.control.status.borrow()).remove(name) {
            Some(Value::Word(word)) => word,
            Some(Value::Flag(_) | Value::Words(_)) | None => String::new(),
        }
    }
}

#[interface(name = "org.spotstream.Network1")]
impl Network {
    /// Looks at everything and puts right what is wrong; gives what was changed, line by line.
    async fn apply(&self) -> Result<Vec<String>, CallError> {
        Ok(self.control.apply().await?)
    }

    /// The interface to the robot.
    #[zbus(property)]
    fn robot_interface(&self) -> String {
        self.word("RobotInterface")
    }

    /// Its permanent hardware address.
    #[zbus(property)]
    fn robot_mac(&self) -> String {
        self.word("RobotMac")
    }

    /// Whether there is a cable with something at its other end.
    #[zbus(property)]
    fn robot_carrier(&self) -> bool {
        self.control.status.borrow().robot.carrier
    }

    /// Which port of the robot it is plugged into: "payload", "rear", "dhcp", or nothing.
    #[zbus(property)]
    fn layout(&self) -> String {
        self.word("Layout")
    }

    /// The robot's address.
    #[zbus(property)]
    fn robot_address(&self) -> String {
        self.word("RobotAddress")
    }

    /// Our address on the robot's network, with its prefix.
    #[zbus(property)]
    fn own_address(&self) -> String {
        self.word("OwnAddress")
    }

    /// Whether the robot can be called.
    #[zbus(property)]
    fn robot_ready(&self) -> bool {
        self.control.status.borrow().robot.ready
    }

    /// The stable word of why it cannot.
    #[zbus(property)]
    fn robot_reason_kind(&self) -> String {
        self.word("RobotReasonKind")
    }

    /// Why it cannot, as a sentence for people.
    #[zbus(property)]
    fn robot_reason(&self) -> String {
        self.word("RobotReason")
    }

    /// The interface to the internet.
    #[zbus(property)]
    fn uplink_interface(&self) -> String {
        self.word("UplinkInterface")
    }

    /// Its permanent hardware address: what a campus network wants to register.
    #[zbus(property)]
    fn uplink_mac(&self) -> String {
        self.word("UplinkMac")
    }

    /// The WiFi network.
    #[zbus(property)]
    fn ssid(&self) -> String {
        self.word("Ssid")
    }

    /// Our address there, with its prefix.
    #[zbus(property)]
    fn uplink_address(&self) -> String {
        self.word("UplinkAddress")
    }

    /// The way out.
    #[zbus(property)]
    fn gateway(&self) -> String {
        self.word("Gateway")
    }

    /// Whether there is a way out; the internet may still not answer.
    #[zbus(property)]
    fn uplink_ready(&self) -> bool {
        self.control.status.borrow().uplink.ready
    }

    /// The stable word of why there is none, or why the internet does not answer.
    #[zbus(property)]
    fn uplink_reason_kind(&self) -> String {
        self.word("UplinkReasonKind")
    }

    /// The same as a sentence for people.
    #[zbus(property)]
    fn uplink_reason(&self) -> String {
        self.word("UplinkReason")
    }

    /// Whether the internet answers: "unknown", "yes", "no", "captive-portal".
    #[zbus(property)]
    fn internet(&self) -> String {
        self.word("Internet")
    }

    /// The stable word of what concerns both sides; empty when all is well.
    #[zbus(property)]
    fn reason_kind(&self) -> String {
        self.word("ReasonKind")
    }

    /// The same as a sentence for people.
    #[zbus(property)]
    fn reason(&self) -> String {
        self.word("Reason")
    }

    /// What works, but somebody may want to know.
    #[zbus(property)]
    fn notes(&self) -> Vec<String> {
        self.control.status.borrow().notes.clone()
    }

    /// The version of netsetup.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }
}
