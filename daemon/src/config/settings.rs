//! What the settings mean: typed, checked, ready to use.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use spotstream_core::ingest::directory::Server;
use spotstream_core::names::{Host, InterfaceName};
use spotstream_core::robot::screens::ScreenName;
use spotstream_core::robot::stream_parameters::{AwbMode, Frames};
use spotstream_core::secret::Secret;
use spotstream_core::units::Bitrate;
use spotstream_settings::checker::{absolute, printable};
use spotstream_settings::error::nearest_name;
use spotstream_settings::field::{given, place};
use spotstream_settings::{Checker, Field, Kind, Place};

use super::access::{self, Ssh, StatusPage};
use super::choice::{Audio, Choice, LogLevel, LoginKind};
use super::fragment::{self, Fragment};
use crate::edge::pins::Fingerprint;

const KEY_HOW: &str =
    "copy the stream key from Twitch (Creator Dashboard, Settings, Stream): key = \"live_...\"";
const HOST: (&str, &str) = ("an address or a host name, without port", "\"192.168.50.3\"");
const PATH: (&str, &str) = ("a path that begins with a slash", "\"/etc/spotstream/robot.pem\"");
const INTERFACE: (&str, &str) = ("the name of a network interface", "\"wlan0\"");
const FINGERPRINT: (&str, &str) = (
    "what 'spotstreamctl pin list' shows: 64 digits 0-9 A-F with colons between",
    "\"85:10:35:...\"",
);
const RTMP_URL: (&str, &str) = (
    "an address of a server and its application, without the stream key",
    "\"rtmps://live.example.org/app\"",
);
const NAME: (&str, &str) = ("a name of 1 to 64 printable characters", "\"spotstream\"");

/// Everything the daemon wants to know from a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the stream goes.
    pub stream: Stream,
    /// How the robot lets us in.
    pub robot: Robot,
    /// What is asked of the camera.
    pub camera: Camera,
    /// The page.
    pub status: StatusPage,
    /// Help from afar.
    pub ssh: Ssh,
    /// How much is written to the journal.
    pub log: Log,
}

/// Where the stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The server.
    pub service: Service,
    /// The stream key, or the stream's name on other servers; never empty.
    pub key: Secret,
    /// Whether to go live at power-up.
    pub autostart: bool,
    /// Where the sound comes from.
    pub audio: Audio,
    /// PEM file trusted beside the system's roots.
    pub extra_ca: Option<PathBuf>,
    /// The uplink's interface.
    pub interface: Option<InterfaceName>,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Twitch.
    Twitch {
        /// One ingest host; otherwise the nearest one.
        server: Option<Server>,
        /// Visible in Twitch Inspector only.
        bandwidth_test: bool,
    },
    /// Any other server.
    Url(Server),
}

/// How the robot lets us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Robot {
    /// Who we are.
    pub login: Login,
    /// The robot's addresses, tried in order; never empty.
    pub hosts: Vec<IpAddr>,
    /// The TCP port of gRPC.
    pub port: u16,
    /// PEM file of the robot's certificate authority; without it the first certificate is trusted and pinned.
    pub ca: Option<PathBuf>,
    /// A changed certificate that is right.
    pub accept_certificate: Option<Fingerprint>,
    /// The robot's interface.
    pub interface: Option<InterfaceName>,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A user of the robot.
    User {
        /// The user's name; never empty.
        username: String,
        /// The user's password; never empty.
        password: Secret,
    },
    /// A payload.
    Payload {
        /// The name in the robot's list of payloads.
        name: String,
        /// Ready-made GUID and secret, two lines; otherwise they are made on first run.
        credentials_file: Option<PathBuf>,
    },
}

/// What is asked of the camera. What is `None` is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// The signalling addresses, tried in order; never empty.
    pub hosts: Vec<IpAddr>,
    /// The TCP port of signalling.
    pub port: u16,
    /// A changed certificate that is right.
    pub accept_certificate: Option<Fingerprint>,
    /// Bits per second of video.
    pub target_bitrate: Bitrate,
    /// The picture is refreshed once in so many frames.
    pub refresh_interval: Option<Frames>,
    /// Time from IDR to IDR.
    pub idr_interval: Duration,
    /// White balance.
    pub awb: Option<AwbMode>,
    /// What the picture shows.
    pub screen: Option<ScreenName>,
    /// Whether the camera may lower its bitrate by itself.
    pub congestion_control: bool,
}

/// How much is written to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is written.
    pub level: LogLevel,
}

/// Gives the settings unless a problem stands against them.
pub(super) fn build(checker: &mut Checker, fragment: &Fragment) -> Option<Settings> {
    let stream = stream(checker, &fragment.stream);
    let robot = robot(checker, &fragment.robot);
    let camera = camera(checker, &fragment.camera, stream.as_ref());
    let status = access::status_page(checker, &fragment.status);
    let ssh = access::ssh(checker, &fragment.ssh);
    let level = checker.choice("log.level", &fragment.log.level, LogLevel::WORDS);
    Some(Settings {
        stream: stream?,
        robot: robot?,
        camera: camera?,
        status: status?,
        ssh: ssh?,
        log: Log { level: level? },
    })
}

fn stream(checker: &mut Checker, from: &fragment::Stream) -> Option<Stream> {
    let service = service(checker, from);
    let key = checker.secret("stream.key", &from.key, KEY_HOW);
    let autostart = given(&from.autostart);
    let audio = checker.choice("stream.audio", &from.audio, Audio::WORDS);
    let extra_ca = checker.text("stream.extra_ca", &from.extra_ca, PATH, absolute);
    let interface = checker.text(
        "stream.interface",
        &from.interface,
        INTERFACE,
        InterfaceName::parse,
    );
    Some(Stream {
        service: service?,
        key: key?,
        autostart: autostart?,
        audio: audio?,
        extra_ca,
        interface,
    })
}

fn service(checker: &mut Checker, from: &fragment::Stream) -> Option<Service> {
    let url = checker.text("stream.url", &from.url, RTMP_URL, |text| {
        let url = Server::parse(text).ok()?;
        (!url.app.split('/').any(|part| part.starts_with("live_"))).then_some(url)
    });
    if let Field::Given(at) = &from.service {
        if at.value != "twitch" {
            let kind = Kind::NotAChoice {
                choices: "\"twitch\"; for any other server leave it out and write url".to_owned(),
                nearest: nearest_name(&at.value, ["twitch"]),
            };
            checker.problem(&at.place, "stream.service", kind);
        } else if let Field::Given(url) = &from.url {
            let sentence = "a stream goes to one server: keep either service or url";
            checker.problem(&url.place, "stream.url", Kind::Conflict { sentence });
        }
    }
    let bandwidth_test = given(&from.bandwidth_test);
    let server = checker.text("stream.server", &from.server, HOST, |text| match text {
        "auto" => Some(None),
        text => Host::parse(text).map(|host| Some(Server::of_twitch(host.as_str(), true))),
    });
    if !matches!(from.url, Field::Absent) {
        for (key, place) in [
            ("stream.server", place(&from.server)),
            ("stream.bandwidth_test", place(&from.bandwidth_test)),
        ] {
            if let Some(place @ Place::File(..)) = place {
                let sentence = "it has a meaning for Twitch only, and url names another server";
                checker.warn(place, key, sentence);
            }
        }
        return url.map(Service::Url);
    }
    Some(Service::Twitch {
        server: server?,
        bandwidth_test: bandwidth_test?,
    })
}

fn robot(checker: &mut Checker, from: &fragment::Robot) -> Option<Robot> {
    let login = login(checker, from);
    let hosts = checker.hosts("robot.hosts", &from.hosts);
    let port = checker.port("robot.port", &from.port);
    let ca = checker.text("robot.ca", &from.ca, PATH, absolute);
    let accept_certificate = checker.text(
        "robot.accept_certificate",
        &from.accept_certificate,
        FINGERPRINT,
        |text| text.parse::<Fingerprint>().ok(),
    );
    let interface = checker.text(
        "robot.interface",
        &from.interface,
        INTERFACE,
        InterfaceName::parse,
    );
    Some(Robot {
        login: login?,
        hosts: hosts?,
        port: port?,
        ca,
        accept_certificate,
        interface,
    })
}

fn login(checker: &mut Checker, from: &fragment::Robot) -> Option<Login> {
    let kind = match (&from.login, &from.username) {
        (Field::Absent, Field::Absent) => LoginKind::Payload,
        (Field::Absent, _) => LoginKind::User,
        (written, _) => checker.choice("robot.login", written, LoginKind::WORDS)?,
    };
    match kind {
        LoginKind::User => {
            let how = "write the name of a user of the robot: username = \"...\"";
            let username = checker.required("robot.username", &from.username, how);
            let username = username
                .filter(|at| checker.not_empty("robot.username", at, how))
                .map(|at| at.value.clone());
            let how = "write the password of that user: password = \"...\"";
            let password = checker.secret("robot.password", &from.password, how);
            Some(Login::User {
                username: username?,
                password: password?,
            })
        }
        LoginKind::Payload => {
            for (key, place) in [
                ("robot.username", place(&from.username)),
                ("robot.password", place(&from.password)),
            ] {
                if let Some(place) = place {
                    checker.warn(
                        place,
                        key,
                        "it is not used; for a login with user and password write login = \"user\"",
                    );
                }
            }
            let name = checker.text("robot.payload_name", &from.payload_name, NAME, printable);
            let credentials_file =
                checker.text("robot.credentials_file", &from.credentials_file, PATH, absolute);
            Some(Login::Payload {
                name: name?,
                credentials_file,
            })
        }
    }
}

fn camera(checker: &mut Checker, from: &fragment::Camera, stream: Option<&Stream>) -> Option<Camera> {
    let hosts = checker.hosts("camera.hosts", &from.hosts);
    let port = checker.port("camera.port", &from.port);
    let accept_certificate = checker.text(
        "camera.accept_certificate",
        &from.accept_certificate,
        FINGERPRINT,
        |text| text.parse::<Fingerprint>().ok(),
    );
    let kbps = checker.number(
        "camera.target_bitrate_kbps",
        &from.target_bitrate_kbps,
        250,
        8500,
        "kilobits per second",
    );
    let refresh = checker.number(
        "camera.refresh_interval_frames",
        &from.refresh_interval_frames,
        1,
        600,
        "frames",
    );
    let idr = checker.number(
        "camera.idr_interval_seconds",
        &from.idr_interval_seconds,
        1,
        10,
        "seconds",
    );
    let awb = checker.choice("camera.awb", &from.awb, AwbMode::WORDS);
    let screen = checker.text(
        "camera.screen",
        &from.screen,
        ("the name of a screen", "\"mech_full\""),
        |text| text.parse::<ScreenName>().ok(),
    );
    let congestion_control = given(&from.congestion_control);
    if let (Some(stream), Some(kbps), Some(idr)) = (stream, kbps, idr)
        && matches!(stream.service, Service::Twitch { .. })
    {
        if let (Some(place), true) = (place(&from.target_bitrate_kbps), kbps > 6000) {
            let sentence = "Twitch recommends at most 6000 kb/s; above it the stream may be cut off";
            checker.warn(place, "camera.target_bitrate_kbps", sentence);
        }
        if let (Some(place), true) = (place(&from.idr_interval_seconds), idr != 2) {
            checker.warn(
                place,
                "camera.idr_interval_seconds",
                "Twitch wants a key frame every 2 seconds",
            );
        }
    }
    Some(Camera {
        hosts: hosts?,
        port: port?,
        accept_certificate,
        target_bitrate: Bitrate::kbps(kbps?),
        refresh_interval: refresh.and_then(|frames| i64::try_from(frames).ok()).map(Frames),
        idr_interval: Duration::from_secs(idr?),
        awb,
        screen,
        congestion_control: congestion_control?,
    })
}
