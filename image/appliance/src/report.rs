//! `SPOTSTREAM-REPORT.txt`: everything a person needs to know, on the card, for any PC.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use netsetup::view::Status;

use crate::doctor::{Check, Verdict};
use crate::facts::Facts;
use crate::place::CARD;
use crate::settings::outcome::What;
use crate::slots::Slot;
use crate::storage::{Access, Storage, replace};

/// The name on the FAT.
pub const NAME: &str = "SPOTSTREAM-REPORT.txt";

/// Writes the report to the FAT that is mounted at [`CARD`], unless it says the same already.
///
/// # Errors
/// What the kernel says: a full or worn card.
pub fn write(storage: &mut dyn Storage, text: &str) -> io::Result<bool> {
    let file = Path::new(CARD).join(NAME);
    if storage.read(&file)?.as_deref() == Some(text.as_bytes()) {
        return Ok(false);
    }
    replace(storage, &file, text.as_bytes(), Access::Fat)?;
    Ok(true)
}

/// The text, with the line ends that every editor of every PC understands.
pub fn text(facts: &Facts) -> String {
    let mut out = format!(
        "SPOTSTREAM REPORT\n\nWritten by the box itself, spotstream {}. It is written anew when something changes.\n",
        facts.version
    );
    part(&mut out, "State", &[facts.state()]);
    part(&mut out, "Settings", &settings(facts));
    part(&mut out, "Network", &network(facts));
    part(&mut out, "Payload", &payload(facts));
    part(&mut out, "Starts", &starts(facts));
    part(&mut out, "Doctor", &doctor(&facts.checks));
    part(&mut out, "Versions", &versions(facts));
    out.replace('\n', "\r\n")
}

fn part(out: &mut String, title: &str, lines: &[String]) {
    let _ = writeln!(out, "\n{title}");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

fn settings(facts: &Facts) -> Vec<String> {
    let outcome = &facts.settings;
    let mut lines = match outcome.what {
        What::Wrong => {
            let (file, source) = (
                &outcome.file,
                outcome
                    .source
                    .map(|source| source.to_string())
                    .unwrap_or_default(),
            );
            let mut lines = vec![format!(
                "'{file}' on {source} is wrong. Nothing of it was applied; the settings of before hold."
            )];
            lines.extend(
                outcome
                    .complaints
                    .iter()
                    .map(|complaint| format!("- {complaint}")),
            );
            lines.push("Mend this in the file, and start the box again.".to_owned());
            lines
        }
        What::Pending
        | What::Absent
        | What::Empty
        | What::Unchanged
        | What::Applied
        | What::Forgotten
        | What::Failed => vec![outcome.sentence()],
    };
    lines.extend(outcome.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn network(facts: &Facts) -> Vec<String> {
    let mut lines = match &facts.network {
        None => vec!["the program that sets up the network does not run yet".to_owned()],
        Some(network) => sides(network),
    };
    lines.push(format!("status page: {}", facts.pages()));
    lines
}

fn sides(network: &Status) -> Vec<String> {
    let (robot, uplink) = (&network.robot, &network.uplink);
    let mut lines = Vec::new();
    let mut line = |title: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{title}: {value}")));
    };
    let state = |is_ready: bool, reason: Option<&netsetup::view::Reason>| {
        Some(match (is_ready, reason) {
            (_, Some(reason)) => reason.sentence.clone(),
            (true, None) => "ready".to_owned(),
            (false, None) => "coming up".to_owned(),
        })
    };
    line(
        "both",
        network.reason.as_ref().map(|reason| reason.sentence.clone()),
    );
    line("robot's side", state(robot.ready, robot.reason.as_ref()));
    line("  interface", robot.interface.clone());
    line("  hardware address", robot.mac.clone());
    line(
        "  plugged into",
        robot.layout.map(|found| found.in_words().to_owned()),
    );
    line("  robot", robot.address.map(|address| address.to_string()));
    line(
        "  our address",
        robot.own_address.map(|address| address.addr().to_string()),
    );
    line("internet's side", state(uplink.ready, uplink.reason.as_ref()));
    line("  interface", uplink.interface.clone());
    line("  hardware address", uplink.mac.clone());
    line("  WiFi network", uplink.ssid.clone());
    line(
        "  our address",
        uplink.address.map(|address| address.addr().to_string()),
    );
    line("  gateway", uplink.gateway.map(|gateway| gateway.to_string()));
    line("  streaming server", Some(network.internet.in_words().to_owned()));
    lines.extend(network.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn payload(facts: &Facts) -> Vec<String> {
    vec![facts.how_to_authorize().unwrap_or_else(|| {
        "no GUID is known yet, or a user name is in the settings and none is needed".to_owned()
    })]
}

fn starts(facts: &Facts) -> Vec<String> {
    let mut lines = vec![match facts.start.slot {
        Some(slot) => format!("slot {slot} runs"),
        None => "which slot runs is not known".to_owned(),
    }];
    match &facts.slots {
        Some(state) => {
            let order: Vec<String> = state.order().iter().map(Slot::to_string).collect();
            lines.push(format!(
                "order in which slots are tried: {}",
                order.join(", then ")
            ));
            let tries = state
                .order()
                .into_iter()
                .map(|slot| format!("slot {slot}: {} tries before it is left", state.tries_left(slot)));
            lines.extend(tries);
        }
        None => lines.push("the state of the slots cannot be read".to_owned()),
    }
    lines.extend(facts.health.clone());
    lines.push(
        facts
            .last_boot()
            .unwrap_or_else(|| "the start before this one, if there was one, went well".to_owned()),
    );
    lines
}

fn doctor(checks: &[Check]) -> Vec<String> {
    let mut lines = Vec::new();
    for verdict in [Verdict::Problem, Verdict::Unknown, Verdict::Ok] {
        for check in checks.iter().filter(|check| check.verdict == verdict) {
            lines.push(format!("{}: {}: {}", verdict.word(), check.name, check.finding));
            if !check.advice.is_empty() {
                lines.push(format!("  what to do: {}", check.advice));
            }
        }
    }
    if lines.is_empty() {
        lines.push("not asked yet".to_owned());
    }
    lines
}

fn versions(facts: &Facts) -> Vec<String> {
    let daemon = facts.stream.as_ref().and_then(|stream| stream.version.clone());
    vec![
        format!("image {}", facts.version),
        format!("spotstreamd {}", daemon.as_deref().unwrap_or("unknown")),
        format!(
            "boot loader {}",
            facts.start.boot_loader.as_deref().unwrap_or("unknown")
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::facts;
    use crate::place::Place;
    use crate::settings::outcome::{Complaint, Outcome, Source};
    use crate::storage::Disk;

    #[test]
    fn a_wrong_file_is_told_line_by_line() {
        let mut facts = facts("Fault", "the stream key is missing");
        facts.settings = Outcome {
            what: What::Wrong,
            source: Some(Source::Card),
            file: "spotstream.toml".to_owned(),
            complaints: vec![Complaint {
                line: Some(3),
                key: "stream.kee".to_owned(),
                sentence: "there is no such key; did you mean 'key'?".to_owned(),
            }],
            notes: Vec::new(),
        };
        let text = text(&facts);
        assert!(text.contains(
            "Settings\r\n  'spotstream.toml' on the card is wrong. Nothing of it was applied; the settings of before \
             hold.\r\n  - line 3: stream.kee: there is no such key; did you mean 'key'?\r\n"
        ));
        assert!(text.contains("State\r\n  Fault: the stream key is missing\r\n"));
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn everything_that_is_known_is_told() {
        let text = text(&facts("Live", "the robot's camera is on air"));
        for part in [
            "Live: the robot's camera is on air",
            "our address: 192.168.50.21",
            "our address: 203.0.113.7",
            "hardware address: 02:00:00:00:00:02",
            "GUID 5f0c; authorize it at https://192.168.50.3, Payloads",
            "slot A: 3 tries before it is left",
            "the start before this one, if there was one, went well",
            "boot loader U-Boot 2025.01",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_report_that_says_the_same_is_not_written_again() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Place::below(root.path()));
        assert!(write(&mut disk, "one\r\n").unwrap());
        assert!(!write(&mut disk, "one\r\n").unwrap());
        assert!(write(&mut disk, "two\r\n").unwrap());
    }
}
