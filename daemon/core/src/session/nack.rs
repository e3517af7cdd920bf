//! Which lost packets to ask for again, and when (RFC 4585 section 6.2.1).
//!
//! A gap is asked for at once: between the camera and us is one cable or one radio hop, where packets are lost far
//! more often than they overtake each other, and a packet that comes back within the time of a frame costs nothing.
//! Nothing is due while nothing is missing, so an intact stream never wakes anybody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Deadline;

/// The time after which a packet is asked for again. A round trip to the camera takes far less.
const AGAIN: Duration = Duration::from_millis(25);

/// How often a packet is asked for. After that a key frame is the cure.
const ATTEMPTS: u8 = 8;

/// A gap longer than this, in packets, is no loss but a cut; it is not asked for.
const LONGEST_GAP: u16 = 400;

/// The gaps of one stream.
#[derive(Debug, Default)]
pub struct Nack {
    highest: Option<u16>,
    /// By extended sequence number, so that the order survives the wrap.
    missing: BTreeMap<u64, Missing>,
    extended: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    due: Instant,
    attempts: u8,
}

impl Nack {
    /// Takes note of a packet that arrived, first time or again.
    pub fn handle(&mut self, now: Instant, sequence: u16) {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            self.extended = u64::from(sequence) + (1 << 16);
            return;
        };
        let ahead = sequence.wrapping_sub(highest);
        if ahead == 0 {
            return;
        }
        if ahead < 1 << 15 {
            if ahead <= LONGEST_GAP {
                for gap in 1..u64::from(ahead) {
                    self.missing.insert(
                        self.extended + gap,
                        Missing {
                            due: now,
                            attempts: 0,
                        },
                    );
                }
            } else {
                self.missing.clear();
            }
            self.extended += u64::from(ahead);
            self.highest = Some(sequence);
            // What is older than a cut would be too late for any reader.
            self.missing = self
                .missing
                .split_off(&self.extended.saturating_sub(u64::from(LONGEST_GAP)));
        } else {
            let behind = u64::from(highest.wrapping_sub(sequence));
            self.missing.remove(&self.extended.saturating_sub(behind));
        }
    }

    /// Whether this packet is missing and would still be of use.
    pub fn wants(&self, sequence: u16) -> bool {
        let Some(highest) = self.highest else { return false };
        self.missing.contains_key(
            &self
                .extended
                .saturating_sub(u64::from(highest.wrapping_sub(sequence))),
        )
    }

    /// The sequence numbers to ask for now; empty when nothing is due.
    pub fn poll(&mut self, now: Instant) -> Vec<u16> {
        let mut due = Vec::new();
        self.missing.retain(|extended, missing| {
            if missing.due > now {
                return true;
            }
            if missing.attempts == ATTEMPTS {
                return false;
            }
            missing.attempts += 1;
            missing.due = now + AGAIN;
            #[expect(clippy::cast_possible_truncation, reason = "the wire has the lower 16 bits")]
            due.push(*extended as u16);
            true
        });
        due
    }

    /// When the next request is due.
    pub fn deadline(&self) -> Deadline {
        let due = self.missing.values().map(|missing| missing.due).min()?;
        Some((due, "ask again for lost packets"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
    fn zero() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_gap_is_asked_for_at_once_and_again_until_it_is_filled() {
        let start = zero();
        let mut nack = Nack::default();
        nack.handle(start, 65534);
        assert_eq!(nack.deadline(), None);
        nack.handle(start, 1);
        assert_eq!(nack.poll(start), [65535, 0]);
        assert!(nack.poll(start).is_empty(), "not twice at once");
        assert!(nack.wants(0));
        nack.handle(start, 0);
        assert!(!nack.wants(0));
        let (again, _) = nack.deadline().unwrap();
        assert_eq!(again, start + AGAIN);
        assert_eq!(nack.poll(again), [65535]);
        nack.handle(again, 65535);
        assert_eq!(nack.deadline(), None);
    }

    #[test]
    fn a_packet_that_never_comes_is_given_up() {
        let mut now = zero();
        let mut nack = Nack::default();
        nack.handle(now, 10);
        nack.handle(now, 12);
        let mut asked = 0;
        while let Some((due, _)) = nack.deadline() {
            now = due;
            asked += nack.poll(now).len();
        }
        assert_eq!(asked, usize::from(ATTEMPTS));
    }

    #[test]
    fn a_cut_in_the_numbering_is_not_asked_for() {
        let now = zero();
        let mut nack = Nack::default();
        nack.handle(now, 10);
        nack.handle(now, 12);
        nack.handle(now, 12 + LONGEST_GAP + 1);
        assert_eq!(nack.deadline(), None);
    }

    proptest! {
        #[test]
        fn only_what_is_missing_is_asked_for(
            first in any::<u16>(), lost in proptest::collection::btree_set(1_u16..199, 0..60),
        ) {
            let now = zero();
            let mut nack = Nack::default();
            for offset in (0..200).filter(|offset| !lost.contains(offset)) {
                nack.handle(now, first.wrapping_add(offset));
            }
            let asked: Vec<u16> = nack.poll(now).iter().map(|sequence| sequence.wrapping_sub(first)).collect();
            prop_assert_eq!(asked, lost.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_order_of_packets_keeps_the_list_short(sequences in proptest::collection::vec(any::<u16>(), 0..300)) {
            let now = zero();
            let mut nack = Nack::default();
            for sequence in sequences {
                nack.handle(now, sequence);
                prop_assert!(nack.missing.len() <= usize::from(LONGEST_GAP));
            }
        }
    }
}
