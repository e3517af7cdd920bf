//! `netsetup`: keeps the two networks apart, and says how they stand.

mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use netsetup::config::{self, Loaded};
use netsetup::control::Control;
use netsetup::run::{self, Doors};
use netsetup::view;
use netsetup_core::engine::Failure;
use netsetup_core::plan::plan;
use netsetup_core::status::{Reason, Status};
use spotstream_service::logging;
use tracing::{Level, error, warn};

/// Split routing between the robot and the internet.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done; 1 failed, or 'check' found something to do; 2 the command line is wrong"
)]
struct Arguments {
    /// The settings file, for what the service does not answer. Without it, spotstream.toml and spotstream.d/*.toml are read from /usr/lib/spotstream,
    /// /run/spotstream and /etc/spotstream.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address of the bus [default: $DBUS_SYSTEM_BUS_ADDRESS, else the system bus].
    #[arg(long, global = true, value_name = "ADDRESS")]
    bus: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep everything as it should be, until told to stop: the service.
    Run,
    /// Put right what is wrong, once, and say what that was.
    Apply,
    /// Say how both networks stand.
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what is not as it should be; changes nothing.
    Check,
}

fn main() -> ExitCode {
    // A panic in one task would leave the service running as a ghost; systemd starts a dead one anew.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let arguments = Arguments::parse();
    let level = match arguments.command {
        Command::Run => Level::INFO,
        Command::Apply | Command::Show { .. } | Command::Check => Level::ERROR,
    };
    logging::start(level);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .context("failed to start the runtime")
        .and_then(|runtime| {
            let result = runtime.block_on(serve(arguments));
            runtime.shutdown_background();
            result
        });
    result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "netsetup: {error:#}");
        ExitCode::FAILURE
    })
}

async fn serve(arguments: Arguments) -> Result<ExitCode> {
    let (config, bus) = (arguments.config, arguments.bus);
    match arguments.command {
        Command::Run => keep(config, bus).await.map(|()| ExitCode::SUCCESS),
        Command::Apply => apply(config, bus).await.map(|()| ExitCode::SUCCESS),
        Command::Show { json } => show(config, bus, json).await.map(|()| ExitCode::SUCCESS),
        Command::Check => check(config, bus).await,
    }
}

fn load(config: Option<&Path>) -> Result<Loaded, config::Problems> {
    match config {
        Some(file) => config::check(file),
        None => config::load(Path::new("/")),
    }
}

/// The service. Settings that cannot be used do not take the robot's side or the firewall away: the defaults hold.
async fn keep(config: Option<PathBuf>, bus: Option<String>) -> Result<()> {
    let (control, status, inbox) = Control::channel(Status::default());
    let defaults = config::check_bytes(Path::new("defaults"), b"")?.desired;
    let settings = Box::new(move || match load(config.as_deref()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                warn!("{warning}");
            }
            (loaded.desired, None)
        }
        Err(problems) => {
            error!(kind = problems.kind(), "{problems}");
            let complaint = Reason::new(problems.kind(), problems.to_string());
            (defaults.clone(), Some(complaint))
        }
    });
    let doors = Doors {
        status,
        inbox,
        control,
        settings,
        bus,
    };
    run::run(doors).await.map_err(sentence)
}

/// Asks the service, or does it itself when there is none.
async fn apply(config: Option<PathBuf>, bus: Option<String>) -> Result<()> {
    let changes = match there(view::apply(bus.as_deref()).await)? {
        Some(changes) => changes,
        None => run::once(load(config.as_deref())?.desired, bus)
            .await
            .map_err(sentence)?,
    };
    let mut out = io::stdout().lock();
    for change in &changes {
        writeln!(out, "{change}")?;
    }
    if changes.is_empty() {
        writeln!(out, "nothing to change")?;
    }
    Ok(())
}

async fn show(config: Option<PathBuf>, bus: Option<String>, json: bool) -> Result<()> {
    let status = match there(view::read(bus.as_deref()).await)? {
        Some(status) => status,
        None => {
            plan(
                &load(config.as_deref())?.desired,
                &run::look(bus).await.map_err(sentence)?,
            )
            .status
        }
    };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &status)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", show::Text(&status))?;
    }
    Ok(())
}

async fn check(config: Option<PathBuf>, bus: Option<String>) -> Result<ExitCode> {
    let observed = run::look(bus).await.map_err(sentence)?;
    let steps = plan(&load(config.as_deref())?.desired, &observed).steps;
    let mut out = io::stdout().lock();
    for step in &steps {
        writeln!(out, "{step}")?;
    }
    Ok(if steps.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A bus that is not there has no service on it.
fn there<T>(asked: Result<Option<T>, view::Error>) -> Result<Option<T>> {
    match asked {
        Err(view::Error::NoBus(_)) => Ok(None),
        asked => Ok(asked?),
    }
}

fn sentence(failure: Failure) -> anyhow::Error {
    anyhow!(failure.sentence)
}
