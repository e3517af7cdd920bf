//! What people are told, on the console, by the LED, in the report and on the bus.

use netsetup::view::{Internet, Status};

use crate::bus::appliance::Told;
use crate::bus::follow::{Properties, word};
use crate::doctor::Check;
use crate::settings::outcome::Outcome;
use crate::slots::{BootState, Start};

/// How the stream is, as the daemon says.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Stream {
    /// The stable word of the state.
    pub state: String,
    /// The stable word of the reason.
    pub reason_kind: String,
    /// Why it is so.
    pub reason: String,
    /// Our GUID in the robot's list of payloads.
    pub payload_guid: Option<String>,
    /// Of the daemon.
    pub version: Option<String>,
}

impl Stream {
    /// Reads the properties of `org.spotstream.Daemon1`.
    pub fn read(properties: &Properties) -> Self {
        let text = |name| word(properties, name).unwrap_or_default();
        Self {
            state: text("State"),
            reason_kind: text("ReasonKind"),
            reason: text("Reason"),
            payload_guid: word(properties, "PayloadGuid"),
            version: word(properties, "Version"),
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Of the image.
    pub version: String,
    /// About this start.
    pub start: Start,
    /// The slots, where their state can be read.
    pub slots: Option<BootState>,
    /// Why the start before this one was given up.
    pub given_up: Option<String>,
    /// What became of this start.
    pub health: Option<String>,
    /// What became of the settings.
    pub settings: Outcome,
    /// How the stream is; nothing while the daemon does not run.
    pub stream: Option<Stream>,
    /// How the networks stand; nothing while netsetup does not run.
    pub network: Option<Status>,
    /// What the doctor has found last.
    pub checks: Vec<Check>,
}

/// All of it in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    /// The daemon does not run yet.
    #[default]
    Booting,
    /// No way to the robot, or it does not answer.
    NoRobot,
    /// No way to the internet.
    NoInternet,
    /// The robot's administrator must do something.
    Authorization,
    /// The stream is being brought up.
    Connecting,
    /// On air.
    Live,
    /// Stopped by a person.
    Stopped,
    /// Only a person can help.
    Fault,
}

impl Facts {
    /// The one word.
    pub fn mood(&self) -> Mood {
        let Some(stream) = &self.stream else {
            return Mood::Booting;
        };
        match stream.state.as_str() {
            // The daemon's first word, before it knows anything.
            "Idle" if stream.reason == "starting" => Mood::Booting,
            "WaitingForNetwork" if self.is_robot_ready() => Mood::NoInternet,
            "WaitingForNetwork" | "WaitingForRobot" => Mood::NoRobot,
            "WaitingForAuthorization" => Mood::Authorization,
            "Connecting" if self.is_offline() => Mood::NoInternet,
            "Connecting" => Mood::Connecting,
            "Live" | "Degraded" => Mood::Live,
            "Idle" => Mood::Stopped,
            "Fault" => Mood::Fault,
            _ => Mood::Booting,
        }
    }

    fn is_robot_ready(&self) -> bool {
        self.network.as_ref().is_some_and(|network| network.robot.ready)
    }

    fn is_offline(&self) -> bool {
        self.network.as_ref().is_some_and(|network| {
            !network.uplink.ready || matches!(network.internet, Internet::No | Internet::CaptivePortal)
        })
    }

    /// State and reason in one line.
    pub fn state(&self) -> String {
        match &self.stream {
            None => "starting: the stream's program does not run yet".to_owned(),
            Some(stream) if stream.reason.is_empty() => stream.state.clone(),
            Some(stream) => format!("{}: {}", stream.state, stream.reason),
        }
    }

    /// Our addresses, each with its interface and what is there.
    pub fn addresses(&self) -> Vec<String> {
        let Some(network) = &self.network else {
            return Vec::new();
        };
        let on = |interface: &Option<String>| {
            interface
                .as_ref()
                .map_or_else(String::new, |interface| format!(" on {interface}"))
        };
        let robot = network
            .robot
            .own_address
            .map(|address| format!("{}{} (robot)", address.addr(), on(&network.robot.interface)));
        let uplink = network
            .uplink
            .address
            .map(|address| format!("{}{} (internet)", address.addr(), on(&network.uplink.interface)));
        [robot, uplink].into_iter().flatten().collect()
    }

    /// Where the status page is.
    pub fn pages(&self) -> String {
        let address = self.network.as_ref().and_then(|network| network.uplink.address);
        match address {
            Some(address) => format!("http://spotstream.local or http://{}", address.addr()),
            None => "http://spotstream.local, once there is a network".to_owned(),
        }
    }

    /// What the robot's administrator does.
    pub fn how_to_authorize(&self) -> Option<String> {
        let guid = self.stream.as_ref()?.payload_guid.as_ref()?;
        let robot = self.network.as_ref().and_then(|network| network.robot.address);
        let robot = robot.map_or_else(|| "192.168.50.3".to_owned(), |robot| robot.to_string());
        Some(format!("GUID {guid}; authorize it at https://{robot}, Payloads"))
    }

    /// A sentence about the start before this one; nothing when it was fine.
    pub fn last_boot(&self) -> Option<String> {
        self.start.last(self.given_up.as_deref())
    }

    /// What works, but somebody may want to know.
    pub fn notes(&self) -> Vec<String> {
        let of_network = self.network.iter().flat_map(|network| network.notes.iter());
        self.settings.notes.iter().chain(of_network).cloned().collect()
    }

    /// What everybody may know.
    pub fn told(&self) -> Told {
        Told {
            version: self.version.clone(),
            slot: self.start.slot.map(|slot| slot.to_string()).unwrap_or_default(),
            last_boot: self.last_boot().unwrap_or_default(),
            addresses: self.addresses(),
            import: self.settings.sentence(),
            notes: self.notes(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Facts in a state, with a network as it is on a good day.
    pub(crate) fn facts(state: &str, reason: &str) -> Facts {
        let network: Status = serde_json::from_str(
            r#"{"robot":{"interface":"eth0","mac":"02:00:00:00:00:01","carrier":true,"layout":"payload",
            "address":"192.168.50.3","own_address":"192.168.50.21/24","ready":true},
            "uplink":{"interface":"wlan0","mac":"02:00:00:00:00:02","ssid":"Lab","address":"203.0.113.7/24",
            "gateway":"203.0.113.1","ready":true},"internet":"yes","notes":["a note"]}"#,
        )
        .unwrap();
        Facts {
            version: "1.2.3".to_owned(),
            start: Start::parse("SLOT=A\nUBOOT=\"U-Boot 2025.01\"\nLAST_SLOT=A\nLAST_STAGE=healthy"),
            slots: Some(BootState::parse("BOOT_ORDER=A\nBOOT_A_LEFT=3\n")),
            stream: Some(Stream {
                state: state.to_owned(),
                reason: reason.to_owned(),
                payload_guid: Some("5f0c".to_owned()),
                ..Stream::default()
            }),
            network: Some(network),
            ..Facts::default()
        }
    }

    #[test]
    fn every_state_of_the_daemon_has_its_mood() {
        let states = include_str!("../../../docs/states.md");
        let names = states
            .lines()
            .filter_map(|line| line.strip_prefix("## ")?.split([' ', ',']).next());
        for name in names {
            let mood = facts(name, "").mood();
            assert_ne!(mood, Mood::Booting, "{name}");
        }
        assert_eq!(Facts::default().mood(), Mood::Booting);
        assert_eq!(facts("Idle", "starting").mood(), Mood::Booting);
    }

    #[test]
    fn which_network_is_missing_is_what_netsetup_says() {
        let mut facts = facts("WaitingForNetwork", "");
        assert_eq!(facts.mood(), Mood::NoInternet);
        facts.network.as_mut().unwrap().robot.ready = false;
        assert_eq!(facts.mood(), Mood::NoRobot);
        facts.network = None;
        assert_eq!(facts.mood(), Mood::NoRobot);
    }

    #[test]
    fn a_stream_that_comes_up_without_internet_says_so() {
        let mut facts = facts("Connecting", "");
        assert_eq!(facts.mood(), Mood::Connecting);
        facts.network.as_mut().unwrap().internet = Internet::CaptivePortal;
        assert_eq!(facts.mood(), Mood::NoInternet);
    }

    #[test]
    fn addresses_are_told_with_what_they_are_for() {
        let facts = facts("Live", "");
        assert_eq!(
            facts.addresses(),
            ["192.168.50.21 on eth0 (robot)", "203.0.113.7 on wlan0 (internet)"]
        );
        assert_eq!(facts.pages(), "http://spotstream.local or http://203.0.113.7");
        assert_eq!(facts.told().slot, "A");
        assert!(Facts::default().addresses().is_empty());
    }
}
