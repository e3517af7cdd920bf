//! The board: power, heat, firmware.

use crate::doctor::Check;
use crate::doctor::evidence::Evidence;

/// Bits of the firmware's answer (the Pi's documentation of `get_throttled`).
const UNDER_VOLTAGE_NOW: u32 = 1;
const THROTTLED_NOW: u32 = 1 << 2;
const UNDER_VOLTAGE_SEEN: u32 = 1 << 16;
const THROTTLED_SEEN: u32 = 1 << 18;

/// From here on a Pi 4 slows down at 80 degrees, a Nano a little later.
const HOT: i64 = 80_000;

/// 2020-09-03: the first EEPROM that reads our partition table without help.
const OLD_FIRMWARE: u64 = 1_599_091_200;

const ADVICE: &str = "use a supply and a cable that hold 5 V at 3 A (4 A for a Nano, through its barrel connector); \
                      micro-USB and thin cables do not";

pub(super) fn power(evidence: &Evidence) -> Check {
    let logged = evidence.kernel_log.map(|log| log.weak_power);
    let has = |bits: u32| evidence.throttled.map(|throttled| throttled & bits != 0);
    if has(UNDER_VOLTAGE_NOW) == Some(true) || evidence.has_voltage_alarm == Some(true) {
        return Check::problem("power", "the voltage is too low right now", ADVICE);
    }
    if has(UNDER_VOLTAGE_SEEN) == Some(true) {
        return Check::problem("power", "the voltage was too low since the start", ADVICE);
    }
    match logged {
        Some(0) | None => {}
        Some(times) => {
            return Check::problem(
                "power",
                format!("the kernel has seen too low a voltage {times} times since the start"),
                ADVICE,
            );
        }
    }
    if has(THROTTLED_NOW | THROTTLED_SEEN) == Some(true) {
        return Check::problem(
            "power",
            "the board slowed itself down since the start",
            "give it air, and a supply that holds 5 V at 3 A",
        );
    }
    if evidence.throttled.is_some() || evidence.has_voltage_alarm.is_some() {
        Check::ok("power", "the board has not seen too low a voltage")
    } else {
        let log = match logged {
            Some(_) => "its log has no complaint",
            None => "its log cannot be read",
        };
        Check::unknown(
            "power",
            format!("this kernel does not tell whether the voltage is too low, and {log}"),
        )
    }
}

pub(super) fn temperature(evidence: &Evidence) -> Check {
    match evidence.temperature {
        None => Check::unknown("temperature", "this board does not tell"),
        Some(temperature) if temperature >= HOT => Check::problem(
            "temperature",
            format!("{} degrees Celsius", temperature / 1000),
            "give the board air: at this heat it slows down",
        ),
        Some(temperature) => Check::ok("temperature", format!("{} degrees Celsius", temperature / 1000)),
    }
}

pub(super) fn usb(evidence: &Evidence) -> Check {
    match evidence.kernel_log.map(|log| log.usb_errors) {
        None => Check::unknown("usb", "the kernel's log cannot be read"),
        Some(0) => Check::ok("usb", "the kernel has no complaint"),
        Some(times) => Check::problem(
            "usb",
            format!("USB devices did not answer or took too much current, {times} times since the start"),
            "plug the WiFi stick into another port, and use a stronger supply",
        ),
    }
}

pub(super) fn boot_loader(evidence: &Evidence) -> Check {
    match &evidence.start.boot_loader {
        Some(version) => Check::ok("boot loader", version.clone()),
        None => Check::unknown("boot loader", "it has not said its version"),
    }
}

pub(super) fn firmware(evidence: &Evidence) -> Check {
    let version = evidence.firmware.version.as_deref();
    let short = version.map(|version| version.chars().take(8).collect::<String>());
    match (short, evidence.firmware.built) {
        (Some(version), Some(built)) if built < OLD_FIRMWARE => Check::problem(
            "firmware",
            format!("the EEPROM is of {} ({version})", year(built)),
            "update it with Raspberry Pi Imager: Misc utility images, Bootloader",
        ),
        (Some(version), Some(built)) => Check::ok(
            "firmware",
            format!("the EEPROM is of {} ({version})", year(built)),
        ),
        (Some(version), None) => Check::ok("firmware", format!("the EEPROM is {version}")),
        (None, _) => Check::unknown("firmware", "this board does not tell its version"),
    }
}

/// A mean year is exact enough for people.
const fn year(seconds: u64) -> u64 {
    1970 + seconds / 31_556_952
}

pub(super) fn model(evidence: &Evidence) -> Check {
    match &evidence.model {
        Some(model) => Check::ok("board", model.clone()),
        None => Check::unknown("board", "there is no device tree"),
    }
}
