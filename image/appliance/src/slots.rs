//! The two slots: which one runs, how often each may still be tried, and how the start before this one ended.

use std::collections::BTreeMap;
use std::fmt;

/// One half of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// The first, which the image comes with.
    A,
    /// The second, empty until an update fills it.
    B,
}

impl Slot {
    /// The slot that a letter names.
    pub fn named(letter: &str) -> Option<Self> {
        match letter.trim() {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            _ => None,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// How far a start came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The boot loader chose the slot.
    Selector,
    /// The kernel runs.
    Initrd,
    /// The root is what it was built as.
    RootVerified,
    /// The programs are being started.
    Userspace,
    /// Everything that the image needs runs.
    Healthy,
}

impl Stage {
    /// The stage that a word names.
    pub fn named(word: &str) -> Option<Self> {
        match word.trim() {
            "selector" => Some(Self::Selector),
            "initrd" => Some(Self::Initrd),
            "root-verified" => Some(Self::RootVerified),
            "userspace" => Some(Self::Userspace),
            "healthy" => Some(Self::Healthy),
            _ => None,
        }
    }

    /// What did not come about, when a start ended here.
    const fn what_ended(self) -> &'static str {
        match self {
            Self::Selector => "before its kernel came up",
            Self::Initrd => "before its root was opened and verified",
            Self::RootVerified => "before its programs were started",
            Self::Userspace => "before everything ran",
            Self::Healthy => "well",
        }
    }
}

/// What the initrd has written down about this start, and about the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The slot that runs.
    pub slot: Option<Slot>,
    /// The version of the boot loader, as it names itself.
    pub boot_loader: Option<String>,
    /// The disk.
    pub disk: Option<String>,
    /// The slot that was tried before.
    pub last_slot: Option<Slot>,
    /// How far it came.
    pub last_stage: Option<Stage>,
}

impl Start {
    /// Reads lines like `SLOT=A`; what is not understood is as if it were not there.
    pub fn parse(text: &str) -> Self {
        let word = |name: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(key, value)| *key == name && !value.is_empty())
                .map(|(_, value)| value.trim_matches('"').to_owned())
        };
        Self {
            slot: word("SLOT").as_deref().and_then(Slot::named),
            boot_loader: word("UBOOT"),
            disk: word("DISK"),
            last_slot: word("LAST_SLOT").as_deref().and_then(Slot::named),
            last_stage: word("LAST_STAGE").as_deref().and_then(Stage::named),
        }
    }

    /// What a person should know about the start before this one; nothing when it went well. `why` is what was written
    /// down when it was given up.
    pub fn last(&self, why: Option<&str>) -> Option<String> {
        let (slot, stage) = (self.last_slot?, self.last_stage?);
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        match (self.slot, stage) {
            (Some(now), Stage::Healthy) if now == slot => None,
            (Some(now), _) if now != slot => Some(format!(
                "slot {slot} was left for slot {now}: its last start ended {}{why}",
                stage.what_ended()
            )),
            (_, Stage::Healthy) => None,
            (_, Stage::Userspace) if why.is_empty() => Some(format!(
                "the start before this one, of slot {slot}, ended before everything ran; that is no fault where the \
                 power was cut soon after it came"
            )),
            (_, stage) => Some(format!(
                "the start before this one, of slot {slot}, ended {}{why}",
                stage.what_ended()
            )),
        }
    }
}

/// The state that the boot loader reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootState(BTreeMap<String, String>);

impl BootState {
    /// Reads what `fw_printenv` prints.
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    /// The slots in the order in which they are tried.
    pub fn order(&self) -> Vec<Slot> {
        let order = self.0.get("BOOT_ORDER").map_or("", String::as_str);
        order.split_whitespace().filter_map(Slot::named).collect()
    }

    /// How often a slot is tried before it is left.
    pub fn tries_left(&self, slot: Slot) -> u32 {
        let left = self.0.get(&format!("BOOT_{slot}_LEFT"));
        left.and_then(|left| left.parse().ok()).unwrap_or(0)
    }

    /// Another slot than `slot` that the boot loader would go to.
    pub fn way_out(&self, slot: Slot) -> Option<Slot> {
        self.order()
            .into_iter()
            .find(|other| *other != slot && self.tries_left(*other) > 0)
    }

    /// The lines for `fw_setenv --script` that mark the slot good.
    pub fn good(slot: Slot) -> String {
        format!("boot_stage=healthy\nBOOT_{slot}_LEFT=3\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Start {
        Start::parse(text)
    }

    #[test]
    fn a_start_that_ended_well_needs_no_word() {
        let start =
            start("SLOT=A\nDISK=/dev/vda\nUBOOT=\"U-Boot 2025.01\"\nLAST_SLOT=A\nLAST_STAGE=healthy\n");
        assert_eq!(start.boot_loader.as_deref(), Some("U-Boot 2025.01"));
        assert_eq!(start.last(None), None);
    }

    #[test]
    fn the_first_start_has_none_before_it() {
        assert_eq!(start("SLOT=A\nLAST_SLOT=\nLAST_STAGE=\n").last(None), None);
        assert_eq!(start("").last(None), None);
    }

    #[test]
    fn the_slot_that_runs_says_where_the_other_one_ended() {
        let said = |stage| {
            start(&format!("SLOT=A\nLAST_SLOT=B\nLAST_STAGE={stage}"))
                .last(None)
                .unwrap()
        };
        assert_eq!(
            said("selector"),
            "slot B was left for slot A: its last start ended before its kernel came up"
        );
        assert_eq!(
            said("initrd"),
            "slot B was left for slot A: its last start ended before its root was opened and verified"
        );
        assert_eq!(
            said("root-verified"),
            "slot B was left for slot A: its last start ended before its programs were started"
        );
    }

    #[test]
    fn a_power_cut_is_not_called_a_fault_and_a_reason_is_told() {
        let cut = start("SLOT=A\nLAST_SLOT=A\nLAST_STAGE=userspace");
        assert!(cut.last(None).unwrap().contains("that is no fault"));
        assert_eq!(
            cut.last(Some("netsetup did not start")).unwrap(),
            "the start before this one, of slot A, ended before everything ran: netsetup did not start"
        );
    }

    #[test]
    fn there_is_a_way_out_only_to_a_slot_in_the_order_with_tries_left() {
        let state = |text| BootState::parse(text);
        let both = "BOOT_ORDER=A B\nBOOT_A_LEFT=2\nBOOT_B_LEFT=1\n";
        assert_eq!(state(both).way_out(Slot::A), Some(Slot::B));
        assert_eq!(state(both).way_out(Slot::B), Some(Slot::A));
        assert_eq!(state("BOOT_ORDER=A\nBOOT_B_LEFT=3\n").way_out(Slot::A), None);
        assert_eq!(state("BOOT_ORDER=A B\nBOOT_B_LEFT=0\n").way_out(Slot::A), None);
        assert_eq!(state("").way_out(Slot::A), None);
    }
}
