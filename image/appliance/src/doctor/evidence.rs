//! What the doctor looks at, as values.

use netsetup::view::Status;

use crate::facts::Stream;
use crate::settings::outcome::Outcome;
use crate::slots::{BootState, Start};

/// Everything that was seen at one moment; what is absent could not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The name of the board, of its device tree.
    pub model: Option<String>,
    /// The version of the Pi's EEPROM, as it passes it on: hash, and time in seconds since 1970.
    pub firmware: Firmware,
    /// What the Pi's firmware says about its power: bits of `get_throttled`.
    pub throttled: Option<u32>,
    /// Whether the kernel's sensor of the supply's voltage has raised its alarm.
    pub has_voltage_alarm: Option<bool>,
    /// What the kernel has logged since its start.
    pub kernel_log: Option<KernelLog>,
    /// The card.
    pub card: Option<Card>,
    /// Errors that the data partition's file system has counted.
    pub file_system_errors: Option<u64>,
    /// In KiB.
    pub memory: Option<Memory>,
    /// The hottest, in thousandths of a degree Celsius.
    pub temperature: Option<i64>,
    /// Whether the clock was set from the network.
    pub is_clock_set: bool,
    /// The year by our clock.
    pub year: Option<u32>,
    /// Every network interface but the loop.
    pub interfaces: Vec<Interface>,
    /// The default routes: interface and gateway.
    pub default_routes: Vec<(String, String)>,
    /// How the networks stand.
    pub network: Option<Status>,
    /// How the stream is.
    pub stream: Option<Stream>,
    /// What became of the settings.
    pub settings: Outcome,
    /// About this start.
    pub start: Start,
    /// Why the start before this one was given up.
    pub given_up: Option<String>,
    /// The boot loader's state.
    pub slots: Option<BootState>,
}

/// The Pi's EEPROM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The hash of its source.
    pub version: Option<String>,
    /// When it was built, in seconds since 1970.
    pub built: Option<u64>,
}

/// Counts of lines that say something about power and card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelLog {
    /// Too little voltage, as the Pi's or the Nano's drivers say it.
    pub weak_power: usize,
    /// Errors of the card.
    pub card_errors: usize,
    /// A USB device that took too much, or fell off.
    pub usb_errors: usize,
}

impl KernelLog {
    /// Counts by the words of raspberrypi-hwmon, soctherm, the mmc drivers and the USB hub driver.
    pub fn count(&mut self, line: &str) {
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        if has(&["ndervoltage detected", "nder-voltage detected", "OC ALARM"]) {
            self.weak_power += 1;
        }
        let is_card = has(&["mmc0", "mmc1", "mmc2", "mmcblk"]);
        if is_card && has(&["error", "timed out", "timeout", "Card stuck"]) {
            self.card_errors += 1;
        }
        if has(&[
            "over-current",
            "device descriptor read",
            "unable to enumerate USB",
        ]) {
            self.usb_errors += 1;
        }
    }
}

/// An SD card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// What it calls itself.
    pub name: String,
    /// In MiB.
    pub size_mib: u64,
    /// The SD status register, in hexadecimal digits.
    pub status: Option<String>,
    /// The timing of the bus, and its clock, as the kernel's debug files say.
    pub bus: Option<String>,
}

/// RAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total_kib: u64,
    /// What a program could still have.
    pub available_kib: u64,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The address that it has now.
    pub mac: String,
    /// Whether that is the one it was made with.
    pub is_permanent: bool,
    /// Its driver.
    pub driver: Option<String>,
    /// Whether something is at the other end.
    pub has_carrier: bool,
    /// Whether it is a wireless one.
    pub is_wireless: bool,
}
