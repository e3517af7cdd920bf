//! `spotstreamd`: reads the settings, puts the stages together, runs the loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use spotstream_core::secret::Secret;
use spotstream_service::{logging, sockets};
use spotstreamd::assemble;
use spotstreamd::config::choice::LogLevel;
use spotstreamd::config::settings::Settings;
use spotstreamd::config::{self, Loaded};
use spotstreamd::control::{Control, Status};
use spotstreamd::edge::appliance::Appliance as Image;
use spotstreamd::edge::pins::{PinStore, Role};
use spotstreamd::edge::{dbus, network};
use spotstreamd::run::{Appliance, Doors, fault, run};
use spotstreamd::web;
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// Puts the Spot CAM of a Boston Dynamics Spot on Twitch without decoding it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings file. Without it, spotstream.toml and spotstream.d/*.toml are read from /usr/lib/spotstream,
    /// /run/spotstream and /etc/spotstream.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where certificates, credentials and the camera's own settings are kept. Without it, systemd's state directory
    /// (`systemd.exec(5)`), else /var/lib/spotstream.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

fn main() -> Result<()> {
    // A panic in one task would leave the daemon running as a ghost; systemd starts a dead one anew.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let arguments = Arguments::parse();
    let loaded = match &arguments.config {
        Some(file) => config::check(file),
        None => config::load(Path::new("/")),
    };
    logging::start(
        loaded
            .as_ref()
            .map_or(LogLevel::Info, |loaded| loaded.settings.log.level)
            .tracing(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let result = runtime.block_on(serve(loaded, state_dir(arguments.state_dir)));
    // A name that is being resolved without a network would hold the exit back.
    runtime.shutdown_background();
    result.context("failed to run")
}

fn state_dir(argument: Option<PathBuf>) -> PathBuf {
    argument
        .or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/lib/spotstream"))
}

/// Settings that cannot be used do not end the daemon: it stays to say why.
async fn serve(loaded: Result<Loaded, config::Problems>, state_dir: PathBuf) -> std::io::Result<()> {
    let (control, status, inbox) = Control::channel(Status::new("Idle", "", "starting"));
    tokio::spawn(dbus::serve(control.clone(), None));
    let (news, mut network) = mpsc::channel(network::NEWS);
    let (seen, networks) = watch::channel(None);
    tokio::spawn(network::watch(None, news, seen));
    let password = loaded
        .as_ref()
        .ok()
        .and_then(|loaded| loaded.settings.status.password.as_ref());
    serve_page(
        web::Sources {
            control,
            network: networks,
            appliance: Arc::new(Image::new(None)),
        },
        password,
    );
    let settings = match loaded {
        Ok(Loaded {
            settings, warnings, ..
        }) => {
            for warning in &warnings {
                warn!("{warning}");
            }
            settings
        }
        Err(problems) => {
            tokio::spawn(async move { while network.recv().await.is_some() {} });
            return fault(status, inbox, problems.kind(), problems.to_string()).await;
        }
    };
    match appliance(&settings, &state_dir) {
        Ok(appliance) => {
            run(
                appliance,
                Doors {
                    status,
                    inbox,
                    network,
                },
            )
            .await
        }
        Err(error) => {
            tokio::spawn(async move { while network.recv().await.is_some() {} });
            fault(status, inbox, "set-up", format!("{error:#}")).await
        }
    }
}

/// The page, where systemd listens for it. Nothing else waits for it.
fn serve_page(sources: web::Sources, password: Option<&Secret>) {
    match sockets::tcp_listeners(web::SOCKET) {
        Ok(listeners) if listeners.is_empty() => {}
        Ok(listeners) => drop(tokio::spawn(web::serve(
            listeners,
            web::router(sources, password),
        ))),
        Err(error) => warn!("failed to serve the status page: {error}"),
    }
}

fn appliance(settings: &Settings, state_dir: &Path) -> Result<Appliance> {
    let evidence = state_dir.join("evidence");
    std::fs::create_dir_all(&evidence).with_context(|| format!("failed to make '{}'", evidence.display()))?;
    let pins = Arc::new(pins(settings, state_dir));
    Ok(assemble::appliance(settings, pins, state_dir)?)
}

fn pins(settings: &Settings, state_dir: &Path) -> PinStore {
    let accepted = [
        (Role::Robot, settings.robot.accept_certificate),
        (Role::Camera, settings.camera.accept_certificate),
    ];
    accepted
        .into_iter()
        .filter_map(|(role, fingerprint)| Some((role, fingerprint?)))
        .fold(
            PinStore::new(state_dir.join("pins.toml")),
            |pins, (role, fingerprint)| pins.accepting(role, fingerprint),
        )
}
