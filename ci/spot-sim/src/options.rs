//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::camera::audio::Codec;
use crate::camera::controls::Wanted;
use crate::camera::picture::Size;
use crate::camera::{Mode, Plan};
use crate::screens;

/// A simulated Spot with a Spot CAM.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be a robot until SIGINT or SIGTERM
    Serve(Serve),
    /// Film into a folder for `--mode replay=FOLDER`
    Encode(Encode),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where gRPC listens; signalling is passed on from here when the camera has another address
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    pub(crate) robot_address: IpAddr,
    /// Where signalling listens and media comes from
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    pub(crate) camera_address: IpAddr,
    #[arg(long, default_value_t = 443)]
    pub(crate) grpc_port: u16,
    #[arg(long, default_value_t = 31102)]
    pub(crate) signalling_port: u16,
    /// UDP ports of the camera, FIRST-LAST
    #[arg(long, default_value = "31000-31100", value_parser = ports)]
    pub(crate) media_ports: (u16, u16),
    /// Certificates, `ready` and `control.sock`
    #[arg(long)]
    pub(crate) state_dir: PathBuf,
    #[arg(long, default_value = "user")]
    pub(crate) user: String,
    #[arg(long)]
    pub(crate) password_file: PathBuf,
    /// Control socket; default: control.sock in the state folder
    #[arg(long)]
    pub(crate) control: Option<PathBuf>,
    /// `encode`, or `replay=FOLDER`
    #[arg(long, default_value = "encode", value_parser = mode)]
    pub(crate) mode: Mode,
    /// Write what each session sends into this folder
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// What the offer says of its media
    #[arg(long, value_enum, default_value_t = Direction::Sendonly)]
    pub(crate) direction: Direction,
    /// Offer RTX (RFC 4588) and answer NACKs with it
    #[arg(long)]
    pub(crate) retransmission: bool,
    #[command(flatten)]
    pub(crate) film: Film,
}

#[derive(Debug, Args)]
pub(crate) struct Encode {
    /// The folder
    #[arg(long)]
    pub(crate) out: PathBuf,
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u32,
    #[command(flatten)]
    pub(crate) film: Film,
}

/// What the camera films, and the first values of its stream parameters.
#[derive(Debug, Args)]
pub(crate) struct Film {
    /// WIDTHxHEIGHT
    #[arg(long, default_value = "1280x720")]
    video: Size,
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    #[arg(long, value_enum, default_value_t = Codec::Opus)]
    audio: Codec,
    /// Bits per second
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u32).range(100_000..=20_000_000))]
    bitrate: u32,
    /// Frames between two IDRs; 0 = none at all
    #[arg(long, default_value_t = 0)]
    idr_interval: u32,
    /// Frames in which intra refresh renews the picture
    #[arg(long, default_value_t = 30)]
    refresh_interval: u32,
    #[arg(long, default_value = "mech_full")]
    screen: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    Sendonly,
    Sendrecv,
}

impl Film {
    pub(crate) fn plan(&self, mode: Mode) -> Plan {
        Plan {
            mode,
            size: self.video,
            fps: self.fps,
            audio: self.audio,
        }
    }

    pub(crate) fn wanted(&self) -> anyhow::Result<Wanted> {
        Ok(Wanted {
            bitrate: self.bitrate,
            idr_interval: self.idr_interval,
            refresh_interval: self.refresh_interval,
            screen: screens::find(&self.screen)
                .with_context(|| format!("there is no screen '{}'", self.screen))?,
        })
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text.split_once('=') {
        None if text == "encode" => Ok(Mode::Encode),
        Some(("replay", folder)) => Ok(Mode::Replay(folder.into())),
        _ => Err("a mode is 'encode' or 'replay=FOLDER'".to_owned()),
    }
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    ends.filter(|(first, last)| first <= last)
        .ok_or_else(|| "ports are written FIRST-LAST".to_owned())
}
