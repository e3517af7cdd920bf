//! RTP packets back in the order in which they were sent (RFC 3550 section 5.1, appendix A.1).
//!
//! A packet that is next in sequence comes out at once: where nothing is lost, nothing waits. Behind a gap, packets
//! wait for a retransmission (RFC 4585 section 6.2.1) until a deadline; then the loss is declared.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::Deadline;
use crate::rtp::RtpPacket;

/// Packets kept behind a gap; a key frame of 1080p is about 300.
const CAPACITY: usize = 2048;
/// RFC 3550 appendix A.1: a sequence number this far ahead or behind is a sender that started anew.
const MAX_DROPOUT: i16 = 3000;
const MAX_MISORDER: i16 = 3000;

/// What comes out, in sending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The next packet.
    Packet(RtpPacket),
    /// Packets between the last one and the next are lost; 0 when the sender started anew and nobody can tell.
    Gap {
        /// How many.
        packets: u64,
    },
}

/// The reorder buffer of one track.
#[derive(Debug)]
pub struct Reorder {
    wait: Duration,
    /// Extended sequence number of the next packet to come out; `None` before the first packet.
    next: Option<i64>,
    ready: VecDeque<Item>,
    waiting: BTreeMap<i64, (Instant, RtpPacket)>,
    /// When the gap in front of `waiting` was noticed.
    noticed: Option<Instant>,
    /// The sequence number that would confirm that the sender started anew.
    restart: Option<u16>,
    late: u64,
}

impl Reorder {
    /// A buffer that waits at most `wait` for a missing packet.
    pub fn new(wait: Duration) -> Self {
        Self {
            wait,
            next: None,
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            noticed: None,
            restart: None,
            late: 0,
        }
    }

    /// Takes a packet as it came from the network.
    pub fn push(&mut self, now: Instant, packet: RtpPacket) {
        let next = match self.next {
            Some(next) => next,
            None => {
                let first = i64::from(packet.sequence);
                self.next = Some(first);
                first
            }
        };
        let ahead = packet.sequence.wrapping_sub(low_bits(next)).cast_signed();
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&ahead) {
            self.suspect(packet);
            return;
        }
        self.restart = None;
        if ahead < 0 {
            self.late += 1;
            return;
        }
        if ahead == 0 && self.waiting.is_empty() {
            self.next = Some(next + 1);
            self.ready.push_back(Item::Packet(packet));
            return;
        }
        let key = next + i64::from(ahead);
        if self.waiting.contains_key(&key) {
            self.late += 1;
            return;
        }
        self.waiting.insert(key, (now, packet));
        self.noticed.get_or_insert(now);
    }

    /// The next item that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Item> {
        if let Some(item) = self.ready.pop_front() {
            return Some(item);
        }
        let next = self.next?;
        let (&key, _) = self.waiting.first_key_value()?;
        if key != next {
            let overdue = self.noticed.is_none_or(|noticed| now >= noticed + self.wait);
            if !overdue && self.waiting.len() < CAPACITY {
                return None;
            }
            self.next = Some(key);
            return Some(Item::Gap {
                packets: key.abs_diff(next),
            });
        }
        let (_, (_, packet)) = self.waiting.pop_first()?;
        self.next = Some(next + 1);
        if self
            .waiting
            .first_key_value()
            .is_none_or(|(&key, _)| key != next + 1)
        {
            // Whatever is left waits behind another gap, which was noticed when the first of it arrived.
            self.noticed = self.waiting.values().map(|(arrived, _)| *arrived).min();
        }
        Some(Item::Packet(packet))
    }

    /// When a missing packet is given up.
    pub fn deadline(&self) -> Deadline {
        if self.waiting.is_empty() {
            return None;
        }
        self.noticed
            .map(|noticed| (noticed + self.wait, "a missing packet is given up"))
    }

    /// Packets that came twice, or after they were given up.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// A packet far from the expected sequence number: believed when a second one follows it.
    fn suspect(&mut self, packet: RtpPacket) {
        let sequence = packet.sequence;
        if self.restart != Some(sequence) {
            self.restart = Some(sequence.wrapping_add(1));
            self.late += 1;
            return;
        }
        self.restart = None;
        self.waiting.clear();
        self.noticed = None;
        self.next = Some(i64::from(sequence) + 1);
        self.ready.push_back(Item::Gap { packets: 0 });
        self.ready.push_back(Item::Packet(packet));
    }
}

fn low_bits(extended: i64) -> u16 {
    u16::try_from(extended.rem_euclid(1 << 16)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::epoch;
    use bytes::Bytes;
    use proptest::prelude::*;

    const WAIT: Duration = Duration::from_millis(100);

    fn packet(sequence: u16) -> RtpPacket {
        RtpPacket {
            sequence,
            timestamp: 0,
            marker: false,
            payload: Bytes::new(),
        }
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| reorder.pop(now))
            .map(|item| match item {
                Item::Packet(packet) => packet.sequence.to_string(),
                Item::Gap { packets } => format!("gap {packets}"),
            })
            .collect()
    }

    #[test]
    fn a_packet_in_order_comes_out_at_once_across_the_wrap() {
        let now = epoch();
        let mut reorder = Reorder::new(WAIT);
        for sequence in [65_534, 65_535, 0, 1] {
            reorder.push(now, packet(sequence));
            assert_eq!(drain(&mut reorder, now), [sequence.to_string()]);
            assert_eq!(reorder.deadline(), None);
        }
    }

    #[test]
    fn a_missing_packet_that_arrives_in_time_is_put_in_its_place() {
        let now = epoch();
        let mut reorder = Reorder::new(WAIT);
        reorder.push(now, packet(65_535));
        reorder.push(now, packet(1));
        assert_eq!(drain(&mut reorder, now), ["65535"]);
        let later = now + WAIT / 2;
        reorder.push(later, packet(0));
        assert_eq!(drain(&mut reorder, later), ["0", "1"]);
    }

    #[test]
    fn a_missing_packet_is_declared_lost_at_the_deadline_and_ignored_afterwards() {
        let now = epoch();
        let mut reorder = Reorder::new(WAIT);
        reorder.push(now, packet(1));
        reorder.push(now, packet(4));
        assert_eq!(drain(&mut reorder, now + WAIT - Duration::from_millis(1)), ["1"]);
        let (deadline, _) = reorder.deadline().unwrap();
        assert_eq!(deadline, now + WAIT);
        assert_eq!(drain(&mut reorder, deadline), ["gap 2", "4"]);
        reorder.push(deadline, packet(2));
        assert_eq!(drain(&mut reorder, deadline), Vec::<String>::new());
        assert_eq!(reorder.late(), 1);
    }

    #[test]
    fn a_second_gap_has_its_own_deadline() {
        let now = epoch();
        let mut reorder = Reorder::new(WAIT);
        reorder.push(now, packet(1));
        reorder.push(now, packet(3));
        let later = now + WAIT / 2;
        reorder.push(later, packet(5));
        assert_eq!(drain(&mut reorder, now + WAIT), ["1", "gap 1", "3"]);
        assert_eq!(reorder.deadline().unwrap().0, later + WAIT);
        assert_eq!(drain(&mut reorder, later + WAIT), ["gap 1", "5"]);
    }

    #[test]
    fn a_sender_that_starts_anew_is_believed_at_the_second_packet() {
        let now = epoch();
        let mut reorder = Reorder::new(WAIT);
        for sequence in [10, 30_000, 11, 40_000, 40_001, 40_002] {
            reorder.push(now, packet(sequence));
        }
        assert_eq!(drain(&mut reorder, now), ["10", "11", "gap 0", "40001", "40002"]);
    }

    proptest! {
        #[test]
        fn whatever_the_network_does_the_order_never_falls_and_nothing_comes_twice(
            start in any::<u16>(),
            offsets in proptest::collection::vec((0u16..200, 0u64..30), 1..300),
        ) {
            let mut now = epoch();
            let mut reorder = Reorder::new(WAIT);
            let mut last: Option<u16> = None;
            let mut seen = 0u64;
            for (offset, pause) in offsets {
                now += Duration::from_millis(pause);
                reorder.push(now, packet(start.wrapping_add(offset)));
                while let Some(item) = reorder.pop(now) {
                    match item {
                        Item::Packet(packet) => {
                            if let Some(last) = last {
                                let step = packet.sequence.wrapping_sub(last);
                                prop_assert!(step > 0 && step < 1 << 15);
                                prop_assert_eq!(u64::from(step), 1 + seen);
                            }
                            last = Some(packet.sequence);
                            seen = 0;
                        }
                        Item::Gap { packets } => seen = packets,
                    }
                }
            }
        }
    }
}
