//! What the page shows, as values: the same for people and for programs (`/status.json`). No type here can hold a
//! secret.

use std::collections::BTreeMap;

use netsetup::view::Status as Network;
use serde::Serialize;

use crate::control::{Figure, Status, figures_of};
use crate::edge::appliance::{Findings, Known};
use crate::edge::pins::{Pin, Role};

/// Numbers and words by names that carry their units.
pub(super) type Figures = BTreeMap<&'static str, Number>;

/// Everything that anybody who reaches the page may know.
#[derive(Clone, Debug, Serialize)]
pub(super) struct View {
    /// The stable word of the state.
    pub(super) state: &'static str,
    /// The stable word of the reason; empty when all is well.
    pub(super) reason_kind: String,
    /// Why it is so.
    pub(super) reason: String,
    /// What was measured.
    pub(super) statistics: Figures,
    /// What the camera says it does.
    pub(super) stream_parameters: Figures,
    /// What the picture shows.
    pub(super) screen: Option<String>,
    /// What the robot's administrator looks for.
    pub(super) payload_guid: Option<String>,
    /// The certificates that are trusted.
    pub(super) certificates: Vec<Certificate>,
    /// How the networks stand; nothing where netsetup does not run.
    pub(super) network: Option<Network>,
    /// What the image says of this computer; nothing where its service does not run.
    pub(super) appliance: Option<Known>,
    /// What doctor has found when it was last run from here.
    pub(super) doctor: Option<Findings>,
    /// The version of the daemon.
    pub(super) daemon_version: &'static str,
}

/// A certificate that is trusted, and another one that was shown since.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Certificate {
    /// "robot" or "camera".
    pub(super) peer: String,
    /// Under which name it is filed.
    pub(super) host: String,
    /// The fingerprint that is trusted.
    pub(super) trusted: Option<String>,
    /// The fingerprint that was shown instead.
    pub(super) shown: Option<String>,
}

/// A number or a word, in JSON without a shell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Number {
    /// A count.
    Count(u64),
    /// A measure.
    Real(f64),
    /// A word.
    Word(String),
}

impl View {
    pub(super) fn new(
        status: &Status,
        network: Option<Network>,
        appliance: Option<Known>,
        doctor: Option<Findings>,
    ) -> Self {
        Self {
            state: status.state,
            reason_kind: status.reason_kind.to_string(),
            reason: status.reason.clone(),
            statistics: figures(status.statistics.figures()),
            stream_parameters: figures(figures_of(&status.stream_parameters)),
            screen: status.screen.clone(),
            payload_guid: status.payload_guid.clone(),
            certificates: status.pins.iter().map(certificate).collect(),
            network,
            appliance,
            doctor,
            daemon_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn figures(figures: Vec<(&'static str, Figure)>) -> Figures {
    let plain = |figure| match figure {
        Figure::Count(count) => Number::Count(count),
        Figure::Real(number) => Number::Real(number),
        Figure::Word(word) => Number::Word(word),
    };
    figures
        .into_iter()
        .map(|(name, figure)| (name, plain(figure)))
        .collect()
}

fn certificate(pin: &Pin) -> Certificate {
    Certificate {
        peer: pin.role.to_string(),
        host: pin.name.clone(),
        trusted: pin.pinned.map(|fingerprint| fingerprint.to_string()),
        shown: pin.refused.map(|fingerprint| fingerprint.to_string()),
    }
}

/// The fingerprints that a role has shown instead of the trusted ones, as one text: what a person has looked at.
pub(super) fn shown(pins: &[Pin], role: Role) -> String {
    let all: Vec<String> = pins
        .iter()
        .filter(|pin| pin.role == role)
        .filter_map(|pin| pin.refused.map(|fingerprint| fingerprint.to_string()))
        .collect();
    all.join(" ")
}
