//! The system: settings, memory, time, slots.

use crate::doctor::Check;
use crate::doctor::evidence::Evidence;
use crate::settings::outcome::What;

/// Nothing of this program existed before, so a clock that says less was never set.
const FIRST_YEAR: u32 = 2026;
/// What the programs need at the least.
const LITTLE_KIB: u64 = 64 * 1024;

pub(super) fn settings(evidence: &Evidence) -> Check {
    let outcome = &evidence.settings;
    let finding = outcome.sentence();
    match outcome.what {
        What::Wrong => Check::problem(
            "settings",
            finding,
            "mend the named lines on a PC, and start the box again",
        ),
        What::Failed => Check::problem("settings", finding, "have a PC check the card for errors"),
        What::Empty => Check::problem(
            "settings",
            finding,
            "put the card into a PC and fill in spotstream.toml",
        ),
        What::Pending => Check::unknown("settings", finding),
        What::Absent | What::Unchanged | What::Applied | What::Forgotten => Check::ok("settings", finding),
    }
}

pub(super) fn memory(evidence: &Evidence) -> Check {
    let Some(memory) = evidence.memory else {
        return Check::unknown("memory", "the kernel does not tell");
    };
    let finding = format!(
        "{} of {} MiB are free",
        memory.available_kib / 1024,
        memory.total_kib / 1024
    );
    if memory.available_kib < LITTLE_KIB {
        Check::problem(
            "memory",
            finding,
            "start the box again; if it comes back, send us the report",
        )
    } else {
        Check::ok("memory", finding)
    }
}

pub(super) fn time(evidence: &Evidence) -> Check {
    match (evidence.is_clock_set, evidence.year) {
        (true, _) => Check::ok("time", "the clock was set from the network"),
        (false, Some(year)) if year >= FIRST_YEAR => Check::unknown(
            "time",
            "the clock was not set from the network yet; it goes on from the last start",
        ),
        (false, year) => Check::problem(
            "time",
            year.map_or_else(
                || "the clock was never set".to_owned(),
                |year| format!("the clock says {year}"),
            ),
            "certificates cannot be checked like this: connect the robot or the internet, which both tell the time",
        ),
    }
}

pub(super) fn slots(evidence: &Evidence) -> Check {
    let (Some(slot), Some(state)) = (evidence.start.slot, &evidence.slots) else {
        return Check::unknown("slots", "the state of the slots cannot be read");
    };
    let finding = format!(
        "slot {slot} runs, {} tries before it is left",
        state.tries_left(slot)
    );
    match state.way_out(slot) {
        Some(other) => Check::ok("slots", format!("{finding}; slot {other} is there as well")),
        None => Check::ok("slots", format!("{finding}; there is no other yet")),
    }
}

pub(super) fn last_start(evidence: &Evidence) -> Check {
    match evidence.start.last(evidence.given_up.as_deref()) {
        None => Check::ok("last start", "it went well, or there was none"),
        Some(finding) if finding.contains("that is no fault") => Check::ok("last start", finding),
        Some(finding) => Check::problem(
            "last start",
            finding,
            "nothing, if it does not come back; else write the image to the card anew, or take another card",
        ),
    }
}
