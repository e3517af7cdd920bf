//! What must hold, and what is done when it does not.

use std::collections::BTreeMap;

use crate::slots::{BootState, Slot, Stage, Start};

/// The units without which the appliance is of no use.
pub const REQUIRED: [&str; 5] = [
    "dbus.service",
    "NetworkManager.service",
    "netsetup.service",
    "spotstreamd.service",
    "spotstream-watch.service",
];

/// What was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `ActiveState` of each of the [`REQUIRED`] units.
    pub units: BTreeMap<String, String>,
    /// Whether `org.spotstream.Appliance1` has an owner.
    pub has_appliance: bool,
    /// Whether the data partition takes a file.
    pub is_data_writable: bool,
}

impl Seen {
    /// What is missing, in words; nothing when the image is healthy.
    pub fn missing(&self) -> Option<String> {
        let mut missing: Vec<String> = REQUIRED
            .into_iter()
            .filter_map(|unit| {
                let name = unit.trim_end_matches(".service");
                match self.units.get(unit).map(String::as_str) {
                    Some("active" | "reloading") => None,
                    Some("failed") => Some(format!("{name} has failed")),
                    _ => Some(format!("{name} does not run")),
                }
            })
            .collect();
        if !self.has_appliance {
            missing.push("the status of the appliance is not on the bus".to_owned());
        }
        if !self.is_data_writable {
            missing.push("the data partition cannot be written to".to_owned());
        }
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// What is done about a slot that is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another slot may do better: restart, and let the boot loader count.
    Restart,
    /// Nothing is better than this; the reason, in words.
    Stay(&'static str),
}

/// Decides. A box that stays up can say what it lacks.
pub fn remedy(start: &Start, state: &BootState) -> Remedy {
    let Some(slot) = start.slot else {
        return Remedy::Stay("which slot runs is not known");
    };
    let Some(other) = state.way_out(slot) else {
        return Remedy::Stay("there is no other slot to go to");
    };
    if has_failed(start, other) {
        return Remedy::Stay("the other slot has not become healthy either");
    }
    Remedy::Restart
}

/// We came from there, and it was not well: going back and forth helps nobody.
fn has_failed(start: &Start, slot: Slot) -> bool {
    start.last_slot == Some(slot) && start.last_stage != Some(Stage::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Seen {
        Seen {
            units: REQUIRED.map(|unit| (unit.to_owned(), "active".to_owned())).into(),
            has_appliance: true,
            is_data_writable: true,
        }
    }

    #[test]
    fn all_that_the_image_brings_along_must_run() {
        assert_eq!(well().missing(), None);
        for unit in REQUIRED {
            for state in ["inactive", "activating", "deactivating", "failed"] {
                let mut seen = well();
                seen.units.insert(unit.to_owned(), state.to_owned());
                assert!(seen.missing().is_some(), "{unit} {state}");
            }
            let mut seen = well();
            seen.units.remove(unit);
            assert!(seen.missing().is_some(), "{unit} unknown");
        }
        for seen in [
            Seen {
                has_appliance: false,
                ..well()
            },
            Seen {
                is_data_writable: false,
                ..well()
            },
        ] {
            assert!(seen.missing().is_some());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut seen = well();
        seen.units
            .insert("netsetup.service".to_owned(), "failed".to_owned());
        seen.is_data_writable = false;
        assert_eq!(
            seen.missing().unwrap(),
            "netsetup has failed, the data partition cannot be written to"
        );
    }

    #[test]
    fn a_sick_slot_is_left_only_for_one_that_may_do_better() {
        let both = BootState::parse("BOOT_ORDER=B A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=1");
        let one = BootState::parse("BOOT_ORDER=A\nBOOT_A_LEFT=3");
        let on = |text| Start::parse(text);
        assert_eq!(remedy(&on("SLOT=B"), &both), Remedy::Restart);
        assert_eq!(
            remedy(&on("SLOT=B\nLAST_SLOT=A\nLAST_STAGE=healthy"), &both),
            Remedy::Restart
        );
        assert_eq!(
            remedy(&on("SLOT=B\nLAST_SLOT=B\nLAST_STAGE=userspace"), &both),
            Remedy::Restart
        );
        for (start, state) in [
            ("SLOT=A", &one),
            ("", &both),
            ("SLOT=A\nLAST_SLOT=B\nLAST_STAGE=userspace", &both),
            ("SLOT=A\nLAST_SLOT=B\nLAST_STAGE=initrd", &both),
        ] {
            assert!(
                matches!(remedy(&on(start), state), Remedy::Stay(_)),
                "{start} {state:?}"
            );
        }
    }
}
