//! The card.

use crate::doctor::Check;
use crate::doctor::evidence::{Card, Evidence};

const ANOTHER: &str = "take another card, of class A1 or better, and write the image to it";

pub(super) fn card(evidence: &Evidence) -> Check {
    let Some(card) = &evidence.card else {
        return Check::unknown("card", "which disk this is was not told by the boot loader");
    };
    let finding = describe(card);
    match evidence.kernel_log.map(|log| log.card_errors) {
        None => Check::unknown(
            "card",
            format!("{finding}; the kernel's log cannot be read, so errors would not be seen"),
        ),
        Some(0) => Check::ok("card", finding),
        Some(errors) => Check::problem(
            "card",
            format!("{finding}; {errors} complaints of the kernel since the start"),
            ANOTHER,
        ),
    }
}

pub(super) fn data(evidence: &Evidence) -> Check {
    match evidence.file_system_errors {
        None => Check::unknown("data partition", "its file system does not tell"),
        Some(0) => Check::ok("data partition", "no errors were ever counted"),
        Some(errors) => Check::problem(
            "data partition",
            format!("its file system has counted {errors} errors"),
            ANOTHER,
        ),
    }
}

fn describe(card: &Card) -> String {
    let mut words = vec![format!("{}, {} MiB", card.name, card.size_mib)];
    words.extend(card.status.as_deref().and_then(classes));
    words.extend(card.bus.clone());
    words.join(", ")
}

/// The speed classes of the SD status register (SD Physical Layer Simplified Specification, 4.10.2).
fn classes(status: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(status.get(at * 2..at * 2 + 2)?, 16).ok();
    let mut words = Vec::new();
    words.push(match byte(8)? {
        1 => "class 2".to_owned(),
        2 => "class 4".to_owned(),
        3 => "class 6".to_owned(),
        4 => "class 10".to_owned(),
        _ => "no speed class".to_owned(),
    });
    match byte(14)? >> 4 {
        0 => {}
        grade => words.push(format!("U{grade}")),
    }
    match byte(15)? {
        0 => {}
        class => words.push(format!("V{class}")),
    }
    match byte(21)? & 0x0f {
        0 => {}
        class => words.push(format!("A{class}")),
    }
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_classes_are_read_from_the_register() {
        let mut register = [0_u8; 64];
        for (at, value) in [(8, 4), (14, 0x30), (15, 30), (21, 0x01)] {
            register[at] = value;
        }
        let text: String = register.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(classes(&text).unwrap(), "class 10 U3 V30 A1");
        assert_eq!(classes("00"), None);
        assert_eq!(classes(&"0".repeat(128)).unwrap(), "no speed class");
    }
}
