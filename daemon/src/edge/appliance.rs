//! What the image's own service says: the D-Bus name `org.spotstream.Appliance1`. Where spotstream was installed by
//! other means there is none, and nothing depends on it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::{Connection, OwnedVariant, connection};

use crate::control::Refusal;

/// The bus name and the interface.
pub const NAME: &str = "org.spotstream.Appliance1";
/// The object.
pub const PATH: &str = "/org/spotstream/Appliance1";

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How long it may take to say what it knows.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to look at everything: card, networks, robot, ingest.
const DOCTOR_LIMIT: Duration = Duration::from_secs(90);
/// How long an answer is good for: a page that many look at asks no more often.
const FRESH: Duration = Duration::from_secs(5);

/// What it tells of this computer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The version of the image.
    pub version: String,
    /// The slot that runs: "A" or "B".
    pub slot: String,
    /// How the start before this one ended; empty when it was fine.
    pub last_boot: String,
    /// The addresses of this computer.
    pub addresses: Vec<String>,
    /// What became of the settings file.
    pub import: String,
    /// What else somebody may want to know.
    pub notes: Vec<String>,
}

/// What doctor has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// One by one.
    pub checks: Vec<Check>,
}

/// One thing that doctor has looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    #[serde(default)]
    pub finding: String,
    /// What to do.
    #[serde(default)]
    pub advice: String,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Problem,
    /// Nobody can tell.
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }
}

impl Findings {
    /// Reads the answer of `Doctor`.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A way to ask it, by the bus at an address or the system bus.
#[derive(Debug)]
pub struct Appliance {
    address: Option<String>,
    connection: Mutex<Option<Connection>>,
    known: Mutex<Option<(Instant, Option<Known>)>>,
}

impl Appliance {
    /// Asks nothing yet.
    pub fn new(address: Option<String>) -> Self {
        Self {
            address,
            connection: Mutex::new(None),
            known: Mutex::new(None),
        }
    }

    /// What it told a few seconds ago or tells now; nothing where it does not run.
    pub async fn known(&self) -> Option<Known> {
        let mut known = self.known.lock().await;
        if let Some((at, known)) = &*known
            && at.elapsed() < FRESH
        {
            return known.clone();
        }
        let now = timeout(CALL_LIMIT, self.properties()).await.ok().flatten();
        *known = Some((Instant::now(), now.clone()));
        now
    }

    /// Has it look at everything.
    ///
    /// # Errors
    /// When it is not there, does not answer in time, or says no.
    pub async fn doctor(&self) -> Result<Findings, Refusal> {
        let text = self.call("Doctor", DOCTOR_LIMIT).await?;
        Findings::parse(&text).ok_or_else(|| {
            refusal(
                "doctor-not-understood",
                "doctor's answer cannot be understood: this daemon and the image are of different versions",
            )
        })
    }

    /// The text of its report; it holds no secret.
    ///
    /// # Errors
    /// When it is not there, does not answer in time, or says no.
    pub async fn report(&self) -> Result<String, Refusal> {
        self.call("Report", DOCTOR_LIMIT).await
    }

    async fn properties(&self) -> Option<Known> {
        let bus = self.bus().await.ok()?;
        let reply = bus
            .call_method(Some(NAME), PATH, Some(PROPERTIES), "GetAll", &(NAME,))
            .await
            .ok()?;
        let all: HashMap<String, OwnedVariant> = reply.body().deserialize().ok()?;
        Some(read(all))
    }

    async fn call(&self, method: &'static str, limit: Duration) -> Result<String, Refusal> {
        let bus = self.bus().await?;
        let call = bus.call_method(Some(NAME), PATH, Some(NAME), method, &());
        match timeout(limit, call).await {
            Err(_) => Err(refusal(
                "appliance-silent",
                "the appliance service has not answered in time: try again",
            )),
            Ok(Err(zbus::Error::MethodError(_, Some(sentence), _))) => {
                Err(refusal("appliance-refused", &sentence))
            }
            Ok(Err(_)) => Err(absent()),
            Ok(Ok(reply)) => reply.body().deserialize().map_err(|_| absent()),
        }
    }

    /// The connection, made anew where the bus has ended the last one.
    async fn bus(&self) -> Result<Connection, Refusal> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept
            && !connection.is_closed()
        {
            return Ok(connection.clone());
        }
        let builder = self
            .address
            .as_deref()
            .map_or_else(connection::Builder::system, connection::Builder::address);
        let connection = timeout(CALL_LIMIT, builder.build()).await;
        let connection = connection.ok().and_then(Result::ok).ok_or_else(absent)?;
        *kept = Some(connection.clone());
        Ok(connection)
    }
}

/// Why there is no doctor and no report.
pub const ABSENT: &str = "the appliance service, which comes with spotstream's image, does not run on this computer: \
                          see 'systemctl status spotstream-watch'";

fn absent() -> Refusal {
    refusal("no-appliance", ABSENT)
}

fn refusal(kind: &'static str, sentence: &str) -> Refusal {
    Refusal {
        kind,
        sentence: sentence.to_owned(),
        is_retryable: true,
    }
}

/// What is missing or of another type is left empty: the service may be older or newer than we are.
fn read(mut all: HashMap<String, OwnedVariant>) -> Known {
    let mut word = |name: &str| {
        all.remove(name)
            .and_then(|value| String::try_from(value).ok())
            .unwrap_or_default()
    };
    let (version, slot, last_boot, import) =
        (word("Version"), word("Slot"), word("LastBoot"), word("Import"));
    let mut words = |name: &str| {
        all.remove(name)
            .and_then(|value| Vec::<String>::try_from(value).ok())
            .unwrap_or_default()
    };
    Known {
        version,
        slot,
        last_boot,
        addresses: words("Addresses"),
        import,
        notes: words("Notes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_of_tomorrow_is_unknown() {
        let findings = Findings::parse(
            r#"{"checks":[{"name":"card","verdict":"ok","finding":"fast","advice":""},{"name":"moon","verdict":"full"}],"x":1}"#,
        );
        let verdicts: Vec<_> = findings
            .unwrap()
            .checks
            .iter()
            .map(|check| check.verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Unknown]);
        assert_eq!(Findings::parse("no"), None);
    }

    #[tokio::test]
    async fn without_a_bus_nothing_is_known_and_a_person_is_told() {
        let appliance = Appliance::new(Some("unix:path=/nonexistent".to_owned()));
        assert_eq!(appliance.known().await, None);
        assert_eq!(appliance.doctor().await.unwrap_err().sentence, ABSENT);
        assert_eq!(appliance.report().await.unwrap_err().kind, "no-appliance");
    }
}
