//! What the screen and the serial console show.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::termios::{FlushArg, tcdrain, tcflush};
use tracing::debug;

use crate::facts::{Facts, Mood};
use crate::healthy::wait::well;
use crate::place::Place;

/// The screen.
const SCREEN: &str = "/dev/tty1";
/// Clears the screen, takes the cursor to its top and hides it (ECMA-48, and `console_codes(4)`).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[?25l";
/// How long a line may take for a text: at 9600 baud it is not much more than a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long until it is looked at again.
const LOOK: Duration = Duration::from_millis(20);

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
        && facts.start.slot.is_none_or(|slot| *sentence != well(slot))
    {
        line("image", sentence);
    }
    if let Some(sentence) = facts.last_boot() {
        line("last start", &sentence);
    }
    out
}

/// Shows texts, one after the other, without holding whoever has one.
#[derive(Debug)]
pub struct Console {
    texts: mpsc::Sender<String>,
}

impl Console {
    /// Prints on a thread for blocking work of the runtime that we are in, for as long as this is kept.
    pub fn new(place: Place) -> Self {
        let (texts, wanted) = mpsc::channel::<String>();
        tokio::task::spawn_blocking(move || {
            while let Ok(text) = wanted.recv() {
                // What was overtaken while a slow line was printed is of no use any more.
                print(&place, &wanted.try_iter().last().unwrap_or(text));
            }
        });
        Self { texts }
    }

    /// Shows the text on the screen, and below what is there already on the serial consoles, as soon as the one before
    /// is printed.
    pub fn show(&self, text: String) {
        if self.texts.send(text).is_err() {
            debug!("nothing is shown: the console's thread has gone");
        }
    }
}

fn print(place: &Place, text: &str) {
    let text = text.replace('\n', "\r\n");
    send(place, SCREEN, &format!("{CLEAR}{text}"));
    let active = place.text("/sys/class/tty/console/active").unwrap_or_default();
    for name in active.split_whitespace().filter(|name| is_serial(name)) {
        send(place, &format!("/dev/{name}"), &format!("\r\n{text}"));
    }
}

fn is_serial(name: &str) -> bool {
    name.trim_start_matches("tty")
        .starts_with(|c: char| c.is_ascii_uppercase())
}

fn send(place: &Place, device: &str, text: &str) {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(place.at(device));
    match opened.and_then(|to| drain(&to, text.as_bytes())) {
        Ok(()) => {}
        Err(error) => debug!(device, "nothing is shown: {error}"),
    }
}

/// Writes, and waits [`PATIENCE`] for the line to take it. What it has not taken then is dropped: close(2) would wait
/// for it, 30 s for each serial port (`closing_wait`), and with it everybody who opens the same one.
fn drain(mut to: &File, mut bytes: &[u8]) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if end <= Instant::now() => {
                tcflush(to, FlushArg::TCOFLUSH)?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
    let (drained, is_drained) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let flush = move || match is_drained.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => tcflush(to, FlushArg::TCOFLUSH),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
        };
        thread::Builder::new().spawn_scoped(scope, flush)?;
        // What is dropped counts as taken, and a screen or a file takes all at once.
        let _ = tcdrain(to);
        drop(drained);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

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
    fn only_an_image_with_which_something_is_wrong_is_spoken_of() {
        let image = |health: &str| {
            let health = Some(health.to_owned());
            let text = text(&Facts {
                health,
                ..facts("Live", "")
            });
            text.lines()
                .find_map(|line| line.strip_prefix("  image       ").map(str::to_owned))
        };
        assert_eq!(image("slot A is healthy"), None);
        for wrong in [
            "the image is not healthy: netsetup has failed",
            "everything runs, but it is not marked",
        ] {
            assert_eq!(image(wrong).as_deref(), Some(wrong));
        }
    }

    #[test]
    fn serial_consoles_are_told_from_screens() {
        let serial: Vec<_> = ["tty0", "tty1", "ttyS1", "ttyAMA0", "ttyGS0"]
            .into_iter()
            .filter(|name| is_serial(name))
            .collect();
        assert_eq!(serial, ["ttyS1", "ttyAMA0", "ttyGS0"]);
    }

    /// A machine with a screen and a serial console, which are plain files.
    fn machine() -> (tempfile::TempDir, Place) {
        let root = tempfile::tempdir().unwrap();
        for folder in ["dev", "sys/class/tty/console"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for device in ["dev/tty1", "dev/ttyAMA0", "dev/tty0"] {
            std::fs::write(root.path().join(device), "").unwrap();
        }
        std::fs::write(root.path().join("sys/class/tty/console/active"), "tty0 ttyAMA0\n").unwrap();
        let place = Place::below(root.path());
        (root, place)
    }

    #[test]
    fn both_are_written_to() {
        let (_root, place) = machine();
        print(&place, "one\ntwo\n");
        assert_eq!(place.text("/dev/tty1").unwrap(), format!("{CLEAR}one\r\ntwo\r"));
        assert_eq!(place.text("/dev/ttyAMA0").unwrap(), "\r\none\r\ntwo\r");
        assert_eq!(place.text("/dev/tty0").unwrap(), "");
    }

    #[test]
    fn a_line_that_nobody_reads_holds_nobody_and_leaves_nothing_for_close_to_wait_for() {
        let (root, place) = machine();
        let line = nix::pty::openpty(None, None).unwrap();
        let serial = root.path().join("dev/ttyAMA0");
        std::fs::remove_file(&serial).unwrap();
        std::os::unix::fs::symlink(nix::unistd::ttyname(&line.slave).unwrap(), &serial).unwrap();
        for end in [&line.master, &line.slave] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        }
        let mut filled = 0;
        let mut is_full = false;
        while !is_full {
            is_full = true;
            while let Ok(taken) = nix::unistd::write(&line.slave, b"x") {
                (filled, is_full) = (filled + taken, false);
            }
            // The kernel moves a part on to the other end, and then there is room again.
            thread::sleep(Duration::from_millis(100));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let began = Instant::now();
        runtime.block_on(async { Console::new(place).show("one\n".to_owned()) });
        assert!(
            began.elapsed() < PATIENCE,
            "whoever has a text waits for the line"
        );
        // It waits for the thread.
        drop(runtime);
        let mut buffer = [0; 512];
        let mut left = 0;
        while let Ok(read) = nix::unistd::read(&line.master, &mut buffer) {
            left += read;
        }
        assert!(left < filled, "{left} of {filled} bytes would still be sent");
    }
}
