//! What the screen and the serial console show.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use tracing::debug;

use crate::facts::{Facts, Mood};
use crate::place::Place;

/// The screen.
const SCREEN: &str = "/dev/tty1";
/// Clears the screen, takes the cursor to its top and hides it (ECMA-48, and `console_codes(4)`).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[?25l";

/// The text, line by line.
pub fn text(facts: &Facts) -> String {
    let mut out = String::new();
    let slot = facts
        .start
        .slot
        .map_or_else(String::new, |slot| format!(", slot {slot}"));
    let _ = writeln!(out, "spotstream {}{slot}", facts.version);
    let mut line = |title: &str, value: &str| {
        let _ = writeln!(out, "  {title:<12}{value}");
    };
    line("state", &facts.state());
    if let Some(network) = &facts.network {
        if let Some(reason) = &network.reason {
            line("network", &reason.sentence);
        }
        if let Some(reason) = &network.robot.reason {
            line("robot", &reason.sentence);
        }
        if let Some(reason) = &network.uplink.reason {
            line("internet", &reason.sentence);
        }
    }
    for address in facts.addresses() {
        line("address", &address);
    }
    line("status page", &facts.pages());
    if facts.mood() == Mood::Authorization
        && let Some(how) = facts.how_to_authorize()
    {
        line("payload", &how);
    }
    line("settings", &facts.settings.sentence());
    if let Some(sentence) = &facts.health
        && sentence.contains("not healthy")
    {
        line("image", sentence);
    }
    if let Some(sentence) = facts.last_boot() {
        line("last start", &sentence);
    }
    out
}

/// Shows the text on the screen, and below what is there already on the serial consoles.
pub fn show(place: &Place, text: &str) {
    print(place, SCREEN, &format!("{CLEAR}{}", text.replace('\n', "\r\n")));
    let active = place.text("/sys/class/tty/console/active").unwrap_or_default();
    for name in active.split_whitespace().filter(|name| is_serial(name)) {
        print(
            place,
            &format!("/dev/{name}"),
            &format!("\r\n{}", text.replace('\n', "\r\n")),
        );
    }
}

fn is_serial(name: &str) -> bool {
    name.trim_start_matches("tty")
        .starts_with(|c: char| c.is_ascii_uppercase())
}

/// A line that nobody reads at the other end must not hold us.
fn print(place: &Place, device: &str, text: &str) {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(place.at(device));
    match opened.and_then(|mut to| to.write_all(text.as_bytes())) {
        Ok(()) => {}
        Err(error) => debug!(device, "nothing is shown: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::facts;

    #[test]
    fn the_screen_says_how_it_is_and_what_to_do() {
        let facts = facts(
            "WaitingForAuthorization",
            "the robot's administrator has not authorized this payload yet",
        );
        assert_eq!(
            text(&facts),
            "spotstream 1.2.3, slot A
  state       WaitingForAuthorization: the robot's administrator has not authorized this payload yet
  address     192.168.50.21 on eth0 (robot)
  address     203.0.113.7 on wlan0 (internet)
  status page http://spotstream.local or http://203.0.113.7
  payload     GUID 5f0c; authorize it at https://192.168.50.3, Payloads
  settings    the settings file has not been looked at yet
"
        );
    }

    #[test]
    fn serial_consoles_are_told_from_screens() {
        let serial: Vec<_> = ["tty0", "tty1", "ttyS1", "ttyAMA0", "ttyGS0"]
            .into_iter()
            .filter(|name| is_serial(name))
            .collect();
        assert_eq!(serial, ["ttyS1", "ttyAMA0", "ttyGS0"]);
    }

    #[test]
    fn both_are_written_to() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::below(root.path());
        for folder in ["dev", "sys/class/tty/console"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for device in ["dev/tty1", "dev/ttyAMA0", "dev/tty0"] {
            std::fs::write(root.path().join(device), "").unwrap();
        }
        std::fs::write(root.path().join("sys/class/tty/console/active"), "tty0 ttyAMA0\n").unwrap();
        show(&place, "one\ntwo\n");
        assert_eq!(place.text("/dev/tty1").unwrap(), format!("{CLEAR}one\r\ntwo\r"));
        assert_eq!(place.text("/dev/ttyAMA0").unwrap(), "\r\none\r\ntwo\r");
        assert_eq!(place.text("/dev/tty0").unwrap(), "");
    }
}
