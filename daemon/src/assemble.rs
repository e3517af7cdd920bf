//! From settings to stages.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use spotstream_core::robot::login::Credentials;
use spotstream_core::robot::stream_parameters::Wanted;
use spotstream_core::secret::Secret;
use spotstream_core::units::Bitrate;

use crate::config::settings::{Login, Service, Settings};
use crate::edge::custody::CustodyFile;
use crate::edge::pins::PinStore;
use crate::edge::robot::{self, Registration, Trust};
use crate::edge::{camera, credentials, ingest_list, tls};
use crate::report::Report;
use crate::run::Appliance;
use crate::stage::loan::{self, Loan};
use crate::stage::login::LoginStage;
use crate::stage::publication::{self, Destination, Publication};
use spotstream_core::names::InterfaceName;

/// A Raspberry Pi 4B in its case with a WiFi stick.
const MASS_KG: f32 = 0.25;
const SIZE_M: [f64; 3] = [0.10, 0.07, 0.04];

/// Why the settings cannot be carried out on this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// TLS towards the internet.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// TLS towards the robot.
    #[error(transparent)]
    Robot(#[from] robot::Error),
    /// The payload's credentials.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
}

/// Puts the stages together; `state_dir` must exist.
///
/// # Errors
/// When a file that the settings name, or one of ours, cannot be used.
pub fn appliance(settings: &Settings, pins: Arc<PinStore>, state_dir: &Path) -> Result<Appliance, Error> {
    let (credentials, payload_name) = credentials(&settings.robot.login, state_dir)?;
    let payload_guid = match &credentials {
        Credentials::Payload(payload) => Some(payload.guid.clone()),
        Credentials::User { .. } => None,
    };
    let robot_interface = settings.robot.interface.as_ref().map(InterfaceName::to_string);
    let trust = match &settings.robot.ca {
        Some(path) => Trust::authorities(path)?,
        None => Trust::pinned(&pins)?,
    };
    let robot = robot::Plan {
        hosts: addresses(&settings.robot.hosts, settings.robot.port),
        bind: robot::Bind {
            interface: robot_interface.clone(),
            address: None,
        },
        trust,
        client_name: format!("spotstream-{}", env!("CARGO_PKG_VERSION")),
    };
    let camera = camera::Plan {
        hosts: addresses(&settings.camera.hosts, settings.camera.port)
            .into_iter()
            .map(Into::into)
            .collect(),
        token: Secret::new(""),
        bind: camera::Bind {
            interface: robot_interface,
            address: None,
        },
        // Sound and the overhead of RTP come on top of the video.
        ceiling: Bitrate::bps(settings.camera.target_bitrate.as_bps() * 5 / 4),
        offer_log: Some(state_dir.join("evidence/offer.sdp")),
    };
    let wish = loan::Wish {
        encoder: Wanted {
            target_bitrate: Some(settings.camera.target_bitrate),
            refresh_interval: settings.camera.refresh_interval,
            awb: settings.camera.awb,
            key_frame_every: settings.camera.idr_interval,
        },
        screen: settings.camera.screen.clone(),
        congestion_control: settings.camera.congestion_control,
    };
    Ok(Appliance {
        autostart: settings.stream.autostart,
        audio: settings.stream.audio,
        camera,
        login: LoginStage::new(robot, credentials, registration(payload_name)),
        loan: Loan::new(CustodyFile::new(state_dir.join("camera-before-us.toml")), wish),
        publication: Publication::new(destination(settings, state_dir)?),
        report: Report::new(payload_guid),
        pins,
    })
}

fn credentials(login: &Login, state_dir: &Path) -> Result<(Credentials, String), credentials::Error> {
    Ok(match login {
        Login::User { username, password } => (
            Credentials::User {
                name: username.clone(),
                password: password.clone(),
            },
            String::new(),
        ),
        Login::Payload {
            name,
            credentials_file: Some(file),
        } => (Credentials::Payload(credentials::load(file)?), name.clone()),
        Login::Payload {
            name,
            credentials_file: None,
        } => {
            let file = state_dir.join("payload-credentials");
            (
                Credentials::Payload(credentials::load_or_create(&file)?),
                name.clone(),
            )
        }
    })
}

fn registration(name: String) -> Registration {
    let number = |text: &str| text.parse().unwrap_or(0);
    Registration {
        name,
        description: "sends the Spot CAM's picture to a streaming server".to_owned(),
        version: (
            number(env!("CARGO_PKG_VERSION_MAJOR")),
            number(env!("CARGO_PKG_VERSION_MINOR")),
            number(env!("CARGO_PKG_VERSION_PATCH")),
        ),
        mass: MASS_KG,
        size: SIZE_M,
    }
}

fn addresses(hosts: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    hosts.iter().map(|&host| SocketAddr::new(host, port)).collect()
}

fn destination(settings: &Settings, state_dir: &Path) -> Result<publication::Wish, tls::Error> {
    let stream = &settings.stream;
    let tls = Arc::new(tls::public(stream.extra_ca.as_deref())?);
    let interface = stream.interface.as_ref().map(InterfaceName::to_string);
    let (destination, bandwidth_test) = match &stream.service {
        Service::Twitch {
            server: None,
            bandwidth_test,
        } => {
            let list = ingest_list::Plan {
                tls: tls.clone(),
                interface: interface.clone(),
                cache: state_dir.join("ingest-list.json"),
                secure: true,
            };
            (Destination::Nearest(list), *bandwidth_test)
        }
        Service::Twitch {
            server: Some(server),
            bandwidth_test,
        } => (Destination::Fixed(server.clone()), *bandwidth_test),
        Service::Url(server) => (Destination::Fixed(server.clone()), false),
    };
    Ok(publication::Wish {
        destination,
        key: stream.key.clone(),
        bandwidth_test,
        tls,
        interface,
    })
}
