//! What the LED does in each mood: the one table.

use crate::facts::Mood;

/// A pattern that is repeated: whether it is on, and for how many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The steps.
    pub steps: &'static [(bool, u32)],
    /// How a person sees it.
    pub looks: &'static str,
    /// What it means.
    pub means: &'static str,
}

const EVEN: Pattern = Pattern {
    steps: &[(true, 500), (false, 500)],
    looks: "on and off, once a second",
    means: "starting, or bringing up the stream",
};
const ONE: Pattern = Pattern {
    steps: &[(true, 200), (false, 1800)],
    looks: "one blink, pause",
    means: "no robot: the cable, the port, or the robot is off",
};
const TWO: Pattern = Pattern {
    steps: &[(true, 200), (false, 300), (true, 200), (false, 1800)],
    looks: "two blinks, pause",
    means: "no internet: the WiFi, its password, or a page that wants to be clicked",
};
const THREE: Pattern = Pattern {
    steps: &[
        (true, 200),
        (false, 300),
        (true, 200),
        (false, 300),
        (true, 200),
        (false, 1800),
    ],
    looks: "three blinks, pause",
    means: "the robot's administrator must authorize this payload",
};
const ON: Pattern = Pattern {
    steps: &[(true, 2900), (false, 100)],
    looks: "on, with a wink every three seconds",
    means: "live",
};
const OFF: Pattern = Pattern {
    steps: &[(true, 100), (false, 2900)],
    looks: "off, with a flash every three seconds",
    means: "stopped by a person",
};
const FLICKER: Pattern = Pattern {
    steps: &[(true, 100), (false, 100)],
    looks: "fast flicker",
    means: "a fault: look at the status page, or at SPOTSTREAM-REPORT.txt on the card",
};

/// Every pattern, in the order in which a person meets them.
pub const ALL: [Pattern; 7] = [EVEN, ONE, TWO, THREE, ON, OFF, FLICKER];

/// The pattern of a mood.
pub const fn of(mood: Mood) -> Pattern {
    match mood {
        Mood::Booting | Mood::Connecting => EVEN,
        Mood::NoRobot => ONE,
        Mood::NoInternet => TWO,
        Mood::Authorization => THREE,
        Mood::Live => ON,
        Mood::Stopped => OFF,
        Mood::Fault => FLICKER,
    }
}

/// The table as the documents have it.
pub fn table() -> String {
    let rows = ALL
        .iter()
        .map(|pattern| format!("| {} | {} |\n", pattern.looks, pattern.means));
    format!("| LED | what it means |\n|---|---|\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documents_have_the_table_as_it_is() {
        let document = include_str!("../../../../docs/appliance.md");
        assert!(
            document.contains(&table()),
            "docs/appliance.md needs:\n{}",
            table()
        );
    }

    #[test]
    fn no_two_patterns_look_the_same_and_none_blinks_dangerously_fast() {
        let looks: BTreeSet<_> = ALL.iter().map(|pattern| pattern.looks).collect();
        assert_eq!(looks.len(), ALL.len());
        for pattern in ALL {
            assert!(pattern.steps.iter().all(|(_, length)| *length >= 100));
            assert_eq!(pattern.steps.len() % 2, 0, "it ends with the other half");
            assert!(
                pattern.steps.len() <= 20,
                "ledtrig-pattern takes 1024 steps, a person few"
            );
        }
    }
}
