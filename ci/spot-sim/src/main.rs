//! A simulated Spot with a Spot CAM: the official SDK takes it for a robot, and its camera has a real encoder.
//!
//! It serves gRPC over TLS for all authorities of the robot on one port, and the camera's signalling on another. Two
//! layouts of the real robot can be built from its options:
//!
//! - payload net: `--robot-address 192.168.50.3 --camera-address 192.168.50.6`; the client is on the same network.
//! - rear port: `--robot-address 10.0.0.3 --camera-address 192.168.50.6`; the client needs a route to the camera's
//!   network by way of the robot, as on the real one, and the robot's namespace holds both addresses.
//!
//! Where the two addresses differ, the signalling port on the robot's address is passed on to the camera. Media flows
//! between the client and the camera's own address, the only candidate of the offer; its UDP ports come from
//! `--media-ports`. On one address (the default) everything runs on loopback with any ports.
//!
//! In the state folder: `robot-ca.pem` (the CA for clients), the certificates themselves, `ready` once every socket
//! listens, and by default `control.sock` (see `control.rs`).

mod camera;
mod control;
mod grpc;
mod options;
mod proto;
mod screens;
mod services;
mod signalling;
mod tls;
mod world;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::camera::{Camera, session};
use crate::control::Control;
use crate::options::{Command, Encode, Options, Serve};
use crate::signalling::Signalling;
use crate::tls::Certificates;
use crate::world::World;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    gstreamer::init().context("failed to start GStreamer")?;
    match Options::parse().command {
        Command::Serve(options) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("failed to start the runtime")?
            .block_on(serve(options)),
        Command::Encode(options) => encode(&options),
    }
}

fn encode(options: &Encode) -> anyhow::Result<()> {
    camera::write_tape(
        &options.out,
        &options.film.plan(camera::Mode::Encode),
        options.film.wanted()?,
        options.seconds,
    )
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let state = &options.state_dir;
    std::fs::create_dir_all(state).with_context(|| format!("failed to make '{}'", state.display()))?;
    let password = std::fs::read_to_string(&options.password_file)
        .with_context(|| format!("failed to read '{}'", options.password_file.display()))?;
    let certificates = Certificates::load_or_make(state)?;
    let camera = Camera::start(&options.film.plan(options.mode.clone()), options.film.wanted()?)?;
    let world = Arc::new(World::new(
        camera,
        options.user.clone(),
        password.trim_end().to_owned(),
    ));
    let plan = session::Plan {
        address: options.camera_address,
        ports: options.media_ports,
        sendrecv: options.direction == options::Direction::Sendrecv,
        retransmission: options.retransmission,
        identity: tls::dtls_identity()?,
        record: options.record.clone(),
    };
    let signalling = Signalling::new(Arc::clone(&world), plan, certificates.camera_config()?);
    let control = Arc::new(Control {
        world: Arc::clone(&world),
        signalling: Arc::clone(&signalling),
        state_dir: state.clone(),
    });

    let robot = listen((options.robot_address, options.grpc_port).into()).await?;
    let camera_end = SocketAddr::from((options.camera_address, options.signalling_port));
    let camera = listen(camera_end).await?;
    let pass_on = if options.robot_address == options.camera_address {
        None
    } else {
        Some(listen((options.robot_address, options.signalling_port).into()).await?)
    };
    let control_path = options
        .control
        .clone()
        .unwrap_or_else(|| state.join("control.sock"));
    let control_socket = control::listen(&control_path)?;
    let ready = state.join("ready");
    std::fs::write(&ready, "").with_context(|| format!("failed to write '{}'", ready.display()))?;
    writeln!(std::io::stdout(), "ready").context("failed to say ready")?;

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let outcome = tokio::select! {
        outcome = grpc::serve(robot, TlsAcceptor::from(certificates.robot_config()?), world) => outcome,
        outcome = Arc::clone(&signalling).serve(camera) => outcome,
        outcome = forward(pass_on, camera_end) => outcome,
        outcome = control.serve(control_socket) => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    for path in [&ready, &control_path] {
        std::fs::remove_file(path).with_context(|| format!("failed to remove '{}'", path.display()))?;
    }
    outcome
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on '{address}'"))
}

/// The robot passes the camera's port on; without a listener there is nothing to do, for ever.
async fn forward(listener: Option<TcpListener>, camera: SocketAddr) -> anyhow::Result<()> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        let (mut client, _) = listener.accept().await.context("failed to accept a connection")?;
        tokio::spawn(async move {
            let mut camera = TcpStream::connect(camera).await?;
            tokio::io::copy_bidirectional(&mut client, &mut camera).await
        });
    }
}

/// A panic while the lock was held has ended its thread already; the data is as good as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
