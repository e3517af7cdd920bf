//! A profile as NetworkManager's settings dictionary (nm-settings-dbus(5)).
//!
//! What NetworkManager takes for its default is not written: it does not say it back either, and then what is read
//! could not be compared with what was written.

use std::collections::{BTreeMap, HashMap};

use ipnet::Ipv4Net;
use netsetup_core::profile::{
    ETHERNET_METRIC, Enterprise, Inner, Kind, MODEM_METRIC, MacPolicy, Method, Profile, ROBOT_METRIC,
    RobotAddress, Security, WIFI_METRIC, Wifi,
};
use netsetup_core::routing::ROBOT_TABLE;
use zbus::Variant;

use super::proxy::Sent;

/// The key of `user.data` that says who made a profile.
pub(super) const OWNER: &str = "org.spotstream.owner";
/// Who made it.
pub(super) const OURS: &str = "netsetup";

/// How long NetworkManager asks whether somebody else has our address, milliseconds.
const DAD_MS: i32 = 200;
/// How long the robot's DHCP server may take, seconds: there may be none.
const ROBOT_DHCP_SECONDS: i32 = 15;
/// Before any profile that NetworkManager could choose by itself.
const ROBOT_PRIORITY: i32 = 999;
/// NM_SETTING_WIRELESS_POWERSAVE_DISABLE.
const POWERSAVE_OFF: u32 = 2;
/// NM_SETTING_CONNECTION_MDNS_NO and NM_SETTING_CONNECTION_LLMNR_NO.
const NO: i32 = 0;
/// NM_SETTING_SECRET_FLAG_NOT_REQUIRED.
const NOT_REQUIRED: u32 = 4;

type Section = BTreeMap<&'static str, Variant<'static>>;

/// The settings of `profile`, secrets included.
pub(super) fn render(profile: &Profile) -> Sent {
    let mut sent = match &profile.kind {
        Kind::Robot(address) => robot(address),
        Kind::Wifi(wifi) => self::wifi(wifi),
        Kind::Ethernet => Sent::from([
            ("802-3-ethernet", Section::new()),
            ("ipv4", automatic(ETHERNET_METRIC)),
            ("ipv6", automatic(ETHERNET_METRIC)),
        ]),
        Kind::Modem { apn } => Sent::from([
            ("gsm", Section::from([("apn", text(apn))])),
            ("ipv4", automatic(MODEM_METRIC)),
            ("ipv6", automatic(MODEM_METRIC)),
        ]),
    };
    sent.insert("connection", connection(profile));
    let owner = HashMap::from([(OWNER.to_owned(), OURS.to_owned())]);
    sent.insert("user", Section::from([("data", owner.into())]));
    sent
}

fn connection(profile: &Profile) -> Section {
    let kind = match profile.kind {
        Kind::Robot(_) | Kind::Ethernet => "802-3-ethernet",
        Kind::Wifi(_) => "802-11-wireless",
        Kind::Modem { .. } => "gsm",
    };
    let mut section = Section::from([
        ("id", text(&profile.id())),
        ("uuid", text(&profile.uuid().to_string())),
        ("type", text(kind)),
        ("autoconnect-retries", retries(&profile.kind).into()),
    ]);
    if let Some(interface) = &profile.interface {
        section.insert("interface-name", text(interface.as_str()));
    }
    let priority = match &profile.kind {
        Kind::Robot(_) => ROBOT_PRIORITY,
        Kind::Wifi(wifi) => wifi.priority.clamp(-ROBOT_PRIORITY, ROBOT_PRIORITY),
        Kind::Ethernet | Kind::Modem { .. } => 0,
    };
    if priority != 0 {
        section.insert("autoconnect-priority", priority.into());
    }
    if matches!(profile.kind, Kind::Robot(_)) {
        // Nobody on the robot's network asks for us, and no other name than ours is looked for there.
        section.insert("mdns", NO.into());
        section.insert("llmnr", NO.into());
    }
    section
}

/// How often NetworkManager tries by itself before it takes a break of five minutes, 0 for no break. A cable that is
/// plugged in again ends the break.
fn retries(kind: &Kind) -> i32 {
    match kind {
        // An address that somebody has fails within milliseconds: without a break that is a storm of ARP.
        Kind::Robot(RobotAddress::Static(_)) => 1,
        Kind::Robot(RobotAddress::Dhcp) | Kind::Wifi(_) | Kind::Ethernet | Kind::Modem { .. } => 0,
    }
}

fn robot(address: &RobotAddress) -> Sent {
    let mut ipv4 = Section::from([
        ("route-table", ROBOT_TABLE.into()),
        ("route-metric", i64::from(ROBOT_METRIC).into()),
        ("never-default", true.into()),
        ("ignore-auto-dns", true.into()),
        ("dad-timeout", DAD_MS.into()),
        ("may-fail", false.into()),
    ]);
    match address {
        RobotAddress::Static(net) => {
            ipv4.insert("method", text("manual"));
            ipv4.insert("address-data", addresses(*net));
        }
        RobotAddress::Dhcp => {
            ipv4.insert("method", text("auto"));
            ipv4.insert("ignore-auto-routes", true.into());
            ipv4.insert("dhcp-timeout", ROBOT_DHCP_SECONDS.into());
            ipv4.insert("dhcp-send-hostname", false.into());
        }
    }
    Sent::from([
        ("802-3-ethernet", Section::new()),
        ("ipv4", ipv4),
        ("ipv6", Section::from([("method", text("disabled"))])),
    ])
}

fn addresses(net: Ipv4Net) -> Variant<'static> {
    let address: HashMap<String, Variant<'static>> = HashMap::from([
        ("address".to_owned(), text(&net.addr().to_string())),
        ("prefix".to_owned(), u32::from(net.prefix_len()).into()),
    ]);
    vec![address].into()
}

fn automatic(metric: u32) -> Section {
    Section::from([
        ("method", text("auto")),
        ("route-metric", i64::from(metric).into()),
    ])
}

fn wifi(wifi: &Wifi) -> Sent {
    let mac = match wifi.mac {
        MacPolicy::Permanent => "permanent".to_owned(),
        MacPolicy::Stable => "stable".to_owned(),
        MacPolicy::Random => "random".to_owned(),
        MacPolicy::Fixed(mac) => mac.to_string().to_uppercase(),
    };
    let mut wireless = Section::from([
        ("ssid", bytes(wifi.ssid.as_str())),
        ("mode", text("infrastructure")),
        ("assigned-mac-address", text(&mac)),
        // It costs latency, and what it saves is nothing beside the robot.
        ("powersave", POWERSAVE_OFF.into()),
    ]);
    if wifi.hidden {
        wireless.insert("hidden", true.into());
    }
    let mut sent = Sent::from([
        ("802-11-wireless", wireless),
        ("ipv4", automatic(WIFI_METRIC)),
        ("ipv6", automatic(WIFI_METRIC)),
    ]);
    let security = match &wifi.security {
        Security::Open => return sent,
        // NetworkManager offers SAE beside it where the stick can do that.
        Security::Wpa2 { passphrase } => {
            Section::from([("key-mgmt", text("wpa-psk")), ("psk", text(passphrase.reveal()))])
        }
        Security::Wpa3 { passphrase } => {
            Section::from([("key-mgmt", text("sae")), ("psk", text(passphrase.reveal()))])
        }
        Security::Enterprise(enterprise) => {
            sent.insert("802-1x", self::enterprise(enterprise));
            Section::from([("key-mgmt", text("wpa-eap"))])
        }
    };
    sent.insert("802-11-wireless-security", security);
    sent
}

fn enterprise(enterprise: &Enterprise) -> Section {
    let mut section = Section::from([("identity", text(&enterprise.identity))]);
    if let Some(anonymous) = &enterprise.anonymous_identity {
        section.insert("anonymous-identity", text(anonymous));
    }
    match &enterprise.server.ca {
        Some(path) => section.insert("ca-cert", file(path)),
        None => section.insert("system-ca-certs", true.into()),
    };
    if let Some(name) = &enterprise.server.name {
        section.insert("domain-suffix-match", text(name));
    }
    let method = match &enterprise.method {
        Method::Peap { password } => {
            section.insert("phase2-auth", text("mschapv2"));
            section.insert("password", text(password.reveal()));
            "peap"
        }
        Method::Ttls { inner, password } => {
            let inner = match inner {
                Inner::Pap => "pap",
                Inner::Mschapv2 => "mschapv2",
            };
            section.insert("phase2-auth", text(inner));
            section.insert("password", text(password.reveal()));
            "ttls"
        }
        Method::Tls {
            certificate,
            key,
            key_password,
        } => {
            section.insert("client-cert", file(certificate));
            section.insert("private-key", file(key));
            if key_password.is_empty() {
                section.insert("private-key-password-flags", NOT_REQUIRED.into());
            } else {
                section.insert("private-key-password", text(key_password.reveal()));
            }
            "tls"
        }
    };
    section.insert("eap", vec![method.to_owned()].into());
    section
}

fn text(value: &str) -> Variant<'static> {
    value.to_owned().into()
}

fn bytes(value: &str) -> Variant<'static> {
    value.as_bytes().to_vec().into()
}

/// A file by its path (NM_SETTING_802_1X_CK_SCHEME_PATH).
fn file(path: &str) -> Variant<'static> {
    format!("file://{path}\0").into_bytes().into()
}
