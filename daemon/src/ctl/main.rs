//! spotstreamctl: asks and steers a running spotstreamd over D-Bus, and checks settings files.

mod check;
mod client;
mod failure;
mod show;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use spotstream_core::robot::stream_parameters::AwbMode;
use spotstreamd::config::choice::Choice;
use zbus::{OwnedVariant, Str};

use client::Client;
use failure::Failure;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the daemon, or the image's own service, refused or failed
  2  the command line is wrong
  3  it is not running, or there is no system bus
  4  not permitted
  5  the settings file is wrong";

/// Asks and steers spotstreamd.
#[derive(Parser)]
#[command(name = "spotstreamctl", version, after_help = EXIT_CODES)]
struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Address of the bus [default: $DBUS_SYSTEM_BUS_ADDRESS, else the system bus].
    #[arg(long, global = true, value_name = "ADDRESS")]
    bus: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether a settings file is right, and what it means.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// Say how the stream is.
    Status,
    /// Go live.
    Start,
    /// Stop the stream, and give the camera its settings back.
    Stop,
    /// The camera's stream parameters.
    #[command(subcommand)]
    Camera(Camera),
    /// What the picture shows.
    #[command(subcommand)]
    Screen(Screen),
    /// The certificates that are trusted.
    #[command(subcommand)]
    Pin(Pin),
    /// Look at card, power, time, networks, robot and server, and say what to do.
    Doctor,
    /// Print the report that is also on the card.
    Report,
}

#[derive(Subcommand)]
enum Camera {
    /// Print them.
    Get,
    /// Change some of them.
    Set(Change),
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// Bits per second of video; 4M and 4000k are understood.
    #[arg(long, value_name = "N", value_parser = bits_per_second)]
    target_bitrate: Option<u64>,
    /// The picture is refreshed once in N frames.
    #[arg(long, value_name = "N")]
    refresh_interval: Option<u32>,
    /// Frames from key frame to key frame.
    #[arg(long, value_name = "N")]
    idr_interval: Option<u32>,
    /// White balance.
    #[arg(long, value_name = "MODE", value_parser = words::<AwbMode>())]
    awb_mode: Option<String>,
}

#[derive(Subcommand)]
enum Screen {
    /// Print the names of all screens.
    List,
    /// Show another screen.
    Set {
        /// Its name.
        name: String,
    },
}

#[derive(Subcommand)]
enum Pin {
    /// Print the trusted certificates, and those that were shown since.
    List,
    /// Trust the certificate that was shown instead of the one that is trusted.
    Accept {
        /// Whose.
        #[arg(value_parser = words::<spotstreamd::edge::pins::Role>())]
        peer: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(text) => print(&mut io::stdout().lock(), &text, 0),
        Err(failure) => print(
            &mut io::stderr().lock(),
            &format!("{failure}\n"),
            failure.exit_code(),
        ),
    }
}

/// The one place that writes for people. A reader that has gone, like `head`, is no failure of ours.
fn print(to: &mut dyn Write, text: &str, code: u8) -> ExitCode {
    let written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::from(code),
    }
}

async fn run(cli: &Cli) -> Result<String, Failure> {
    if let Command::CheckConfig { file } = &cli.command {
        let checked = check::check(file);
        return if cli.json {
            show::check_as_json(checked)
        } else {
            show::check(checked)
        };
    }
    let client = Client::connect(cli.bus.as_deref()).await?;
    match &cli.command {
        Command::CheckConfig { .. } => Ok(String::new()),
        Command::Status => Ok(show::status(&client.status().await?, cli.json)),
        Command::Start => client.call("Start", &()).await.map(|()| show::done(cli.json)),
        Command::Stop => client.call("Stop", &()).await.map(|()| show::done(cli.json)),
        Command::Camera(Camera::Get) => {
            let parameters = client.status().await?.remove("StreamParameters");
            Ok(show::value(parameters.as_ref(), cli.json))
        }
        Command::Camera(Camera::Set(change)) => {
            let applied: HashMap<String, OwnedVariant> =
                client.call("SetCamera", &(change.dictionary(),)).await?;
            Ok(show::dictionary(&applied, cli.json))
        }
        Command::Screen(Screen::List) => {
            let names: Vec<String> = client.call("ListScreens", &()).await?;
            Ok(show::names(&names, cli.json))
        }
        Command::Screen(Screen::Set { name }) => client
            .call("SetScreen", &(name.as_str(),))
            .await
            .map(|()| show::done(cli.json)),
        Command::Pin(Pin::List) => {
            let pins = client.status().await?.remove("Pins");
            Ok(show::pins(pins.as_ref(), cli.json))
        }
        Command::Pin(Pin::Accept { peer }) => {
            let replaced: u32 = client.call("AcceptPin", &(peer.as_str(),)).await?;
            Ok(show::replaced(replaced, cli.json))
        }
        Command::Doctor => show::doctor(&client.ask_appliance("Doctor").await?, cli.json),
        Command::Report => Ok(show::report(&client.ask_appliance("Report").await?, cli.json)),
    }
}

impl Change {
    fn dictionary(&self) -> HashMap<&'static str, OwnedVariant> {
        let mut dictionary = HashMap::new();
        let mut add = |name, value: Option<OwnedVariant>| dictionary.extend(value.map(|value| (name, value)));
        add("target_bitrate_bps", self.target_bitrate.map(OwnedVariant::from));
        add(
            "refresh_interval_frames",
            self.refresh_interval
                .map(|frames| OwnedVariant::from(u64::from(frames))),
        );
        add(
            "idr_interval_frames",
            self.idr_interval
                .map(|frames| OwnedVariant::from(u64::from(frames))),
        );
        add(
            "awb_mode",
            self.awb_mode
                .as_deref()
                .map(|mode| OwnedVariant::from(Str::from(mode))),
        );
        dictionary
    }
}

fn words<T: Choice>() -> PossibleValuesParser {
    PossibleValuesParser::new(T::WORDS.iter().map(|(word, _)| *word))
}

fn bits_per_second(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let rate = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|rate| *rate > 0);
    rate.ok_or_else(|| "write bits per second, like 4000000, 4000k or 4M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bitrate_may_have_a_unit() {
        assert_eq!(bits_per_second("4M"), Ok(4_000_000));
        assert_eq!(bits_per_second("2500k"), Ok(2_500_000));
        assert_eq!(bits_per_second("300000"), Ok(300_000));
        for wrong in [
            "",
            "M",
            "-1",
            "0",
            "4 M",
            "99999999999999999999",
            "18446744073709551615M",
            "4Mé",
        ] {
            assert!(bits_per_second(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_white_balance_is_one_of_the_camera_s_words() {
        let parse = |mode| Cli::try_parse_from(["spotstreamctl", "camera", "set", "--awb-mode", mode]);
        assert!(parse("warm_fluorescent").is_ok());
        assert!(parse("pink").is_err());
        assert!(
            Cli::try_parse_from(["spotstreamctl", "camera", "set"]).is_err(),
            "nothing to change"
        );
    }
}
