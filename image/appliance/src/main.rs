//! `spotstream-appliance`: what the image needs around the two programs, one verb a unit.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use appliance::bus::appliance::refresh;
use appliance::healthy::wait;
use appliance::place::Place;
use appliance::{grow, import, tool, watch};
use clap::{Parser, Subcommand};
use spotstream_service::logging;
use tracing::{Level, debug, warn};
use zbus::Connection;

/// What the image needs around the two programs.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done; 1 failed; 2 the command line is wrong"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Give the rest of the card to the data partition.
    Grow,
    /// Take the settings over from the card, or from a stick.
    Import {
        /// The stick's partition; the FAT of the disk that we booted from if left out.
        #[arg(long, value_name = "DEVICE")]
        from: Option<PathBuf>,
    },
    /// Say how everything is, on the console, by the LED, in the report and on the bus: the service.
    Watch,
    /// Wait until the image is healthy and mark its slot good, or give it up.
    Healthy {
        /// How long the image may take to come up.
        #[arg(long, value_name = "SECONDS", default_value_t = wait::LIMIT.as_secs())]
        limit: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(Level::INFO);
    run(&arguments.command).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "spotstream-appliance: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: &Command) -> Result<ExitCode> {
    let place = Place::machine();
    match command {
        Command::Grow => say(&grow::grow(&place)?),
        Command::Import { from } => import_from(&place, from.as_deref()),
        Command::Watch => {
            runtime()?.block_on(watch::watch(place, None))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthy { limit } => {
            let limit = Duration::from_secs(*limit);
            let (is_well, sentence) = runtime()?.block_on(wait::healthy(&place, limit))?;
            say(&sentence)?;
            Ok(if is_well {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

/// Wrong settings are no failure of the unit: they are told where people look, and the box starts.
fn import_from(place: &Place, from: Option<&Path>) -> Result<ExitCode> {
    let outcome = import::import(place, from, |outcome| {
        if let Err(error) = watch::first_report(place, outcome) {
            warn!("failed to write the report: {error}");
        }
    });
    if outcome.is_problem() {
        warn!("{}", outcome.sentence());
    }
    if from.is_some() && outcome.has_changed_settings() {
        // They wait for us while the machine starts, and a call that waits for them would never end.
        let restarts: [&[&str]; 2] = [
            &[
                "--no-block",
                "try-restart",
                "netsetup.service",
                "spotstreamd.service",
            ],
            // It starts only where a key may log in.
            &["--no-block", "restart", "ssh.service"],
        ];
        for words in restarts {
            if let Err(error) = tool::run("systemctl", words, "") {
                warn!(
                    kind = error.kind(),
                    "{error}; the settings count at the next start"
                );
            }
        }
    }
    runtime()?.block_on(async {
        let told = async { refresh(&Connection::system().await?).await };
        if let Err(error) = told.await {
            debug!("nobody was told of the import: {error}");
        }
    });
    say(&outcome.sentence())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")
}

/// The journal's line of a verb that ends.
fn say(sentence: &str) -> Result<ExitCode> {
    writeln!(io::stdout().lock(), "{sentence}").context("failed to write the answer")?;
    Ok(ExitCode::SUCCESS)
}
