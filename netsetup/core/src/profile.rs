//! Profiles of NetworkManager, as far as netsetup makes them.

use ipnet::Ipv4Net;
use serde::Deserialize;
use spotstream_core::secret::Secret;
use uuid::Uuid;

use crate::names::{InterfaceName, MacAddress, Ssid};

/// A profile. What is not written here is the same in all profiles of its kind, see `netsetup/src/edge/manager`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The interface it is for; none for modems, whose names come and go.
    #[serde(default)]
    pub interface: Option<InterfaceName>,
    /// What it does.
    pub kind: Kind,
}

/// What a profile does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// The robot's cable: never the default route, no DNS, no IPv6, its routes in a table of their own.
    Robot(RobotAddress),
    /// WiFi to the internet.
    Wifi(Wifi),
    /// Ethernet to the internet: a USB adapter, a phone.
    Ethernet,
    /// A cellular modem.
    Modem {
        /// The access point name.
        apn: String,
    },
}

/// How we get our address on the robot's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RobotAddress {
    /// We choose it.
    Static(Ipv4Net),
    /// The robot gives it.
    Dhcp,
}

/// A WiFi network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wifi {
    /// Its name.
    pub ssid: Ssid,
    /// Whether it does not tell its name.
    #[serde(default)]
    pub hidden: bool,
    /// Larger is taken first.
    #[serde(default)]
    pub priority: i32,
    /// What we call ourselves by.
    #[serde(default)]
    pub mac: MacPolicy,
    /// How it lets us in.
    pub security: Security,
}

/// What we call ourselves by in a WiFi network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacPolicy {
    /// By what the stick was made with: campus networks register it.
    #[default]
    Permanent,
    /// By another one for each network, always the same.
    Stable,
    /// By another one each time.
    Random,
    /// By this one.
    Fixed(MacAddress),
}

/// How a WiFi network lets us in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Security {
    /// Everybody.
    Open,
    /// WPA2 with a passphrase; WPA3 too where the access point offers both.
    Wpa2 {
        /// 8 to 63 characters, or 64 hexadecimal digits.
        passphrase: Secret,
    },
    /// WPA3 (SAE) alone.
    Wpa3 {
        /// Any length.
        passphrase: Secret,
    },
    /// WPA2 or WPA3 Enterprise: eduroam.
    Enterprise(Enterprise),
}

/// IEEE 802.1X.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enterprise {
    /// Who we are, inside of the tunnel.
    pub identity: String,
    /// Who we are, outside of it; the identity where it is not given.
    #[serde(default)]
    pub anonymous_identity: Option<String>,
    /// The method.
    pub method: Method,
    /// How the server proves itself; without that anybody could ask for our password.
    pub server: Server,
}

/// An EAP method.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// PEAP with MSCHAPv2.
    Peap {
        /// The password.
        password: Secret,
    },
    /// TTLS with an inner method.
    Ttls {
        /// The inner method.
        inner: Inner,
        /// The password.
        password: Secret,
    },
    /// TLS with a certificate of our own.
    Tls {
        /// PEM file of our certificate.
        certificate: String,
        /// PEM file of our key.
        key: String,
        /// What opens the key.
        key_password: Secret,
    },
}

/// The inner method of TTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inner {
    /// The password in the tunnel.
    Pap,
    /// MSCHAPv2.
    Mschapv2,
}

/// How the server of an enterprise network proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// PEM file of the certificate authority; the system's roots where it is not given, and then a name is needed.
    #[serde(default)]
    pub ca: Option<String>,
    /// The end of the server's name: "radius.example.edu".
    #[serde(default)]
    pub name: Option<String>,
}

/// Where several ways lead to the internet, WiFi is taken first: it is what a person has set up.
pub const WIFI_METRIC: u32 = 100;
/// Then Ethernet.
pub const ETHERNET_METRIC: u32 = 200;
/// Then what costs money.
pub const MODEM_METRIC: u32 = 300;
/// In the robot's table there is no other way.
pub const ROBOT_METRIC: u32 = 100;

const ROBOT_ID: &str = "spotstream robot";
const NAMESPACE: Uuid = Uuid::from_u128(0x5b1c_1d0e_3a53_4c52_8d9e_5350_4f54_0001);

impl Profile {
    /// The same name for the same use on each machine and after each restart.
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&NAMESPACE, self.id().as_bytes())
    }

    /// The UUID of the robot's profile, whatever it says.
    pub fn robot() -> Uuid {
        Uuid::new_v5(&NAMESPACE, ROBOT_ID.as_bytes())
    }

    /// What `nmcli` shows.
    pub fn id(&self) -> String {
        match &self.kind {
            Kind::Robot(_) => ROBOT_ID.to_owned(),
            Kind::Wifi(wifi) => format!("spotstream wifi {}", wifi.ssid),
            Kind::Ethernet => "spotstream ethernet".to_owned(),
            Kind::Modem { .. } => "spotstream modem".to_owned(),
        }
    }
}
