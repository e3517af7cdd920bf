//! RTP packets in order to whole access units (RFC 6184 section 5.1, H.264 section 7.4.1.2).
//!
//! A unit ends with the marker bit, or where the timestamp changes when a sender forgets the marker. A unit that a
//! gap touches is dropped whole. The unit right behind a gap may lack its beginning, so it is believed only when it
//! starts with a delimiter or a sequence parameter set, which nothing of the same unit can precede.

use std::collections::VecDeque;

use bytes::Bytes;

use super::depacketizer::Depacketizer;
use super::nal::{BitReader, NalType};
use crate::media::reorder::Item;
use crate::rtp::RtpPacket;

/// A unit beyond this is not a picture of any camera.
const MAX_UNIT_BYTES: usize = 8 << 20;
const MAX_UNIT_NALS: usize = 4096;

/// One coded picture with everything that belongs to it, as the camera made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Whether it is an IDR picture.
    pub idr: bool,
    /// Its NAL units in order, delimiters and filler included.
    pub nals: Vec<Bytes>,
}

impl AccessUnit {
    /// The first NAL unit with picture data.
    pub fn first_slice(&self) -> Option<&Bytes> {
        self.nals.iter().find(|nal| {
            nal.first()
                .is_some_and(|header| NalType::of(*header).is_picture())
        })
    }
}

/// What the assembler found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A sequence or picture parameter set, ahead of the unit it is part of (and even if that unit is lost).
    ParameterSet(Bytes),
    /// A whole access unit.
    Unit(AccessUnit),
    /// At least one access unit between the last one and the next is missing or was dropped.
    Lost,
}

/// Builds access units.
#[derive(Debug)]
pub struct Assembler {
    depacketizer: Depacketizer,
    timestamp: Option<u32>,
    nals: Vec<Bytes>,
    bytes: usize,
    has_picture: bool,
    idr: bool,
    /// The unit in progress is not whole, or may not be.
    broken: bool,
    /// The beginning of the next unit may be missing.
    head_unknown: bool,
    /// The timestamp of the last unit that a marker ended.
    marked: Option<u32>,
    /// This sender sets the marker inside units; only timestamps end them.
    marker_lies: bool,
    found: VecDeque<Found>,
}

impl Default for Assembler {
    fn default() -> Self {
        Self {
            depacketizer: Depacketizer::default(),
            timestamp: None,
            nals: Vec::new(),
            bytes: 0,
            has_picture: false,
            idr: false,
            broken: false,
            // Nobody knows what came before the first packet.
            head_unknown: true,
            marked: None,
            marker_lies: false,
            found: VecDeque::new(),
        }
    }
}

impl Assembler {
    /// Takes the next item of the reorder buffer.
    pub fn push(&mut self, item: Item) {
        match item {
            Item::Gap { .. } => self.gap(),
            Item::Packet(packet) => self.packet(packet),
        }
    }

    /// The next thing found.
    pub fn pop(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    fn gap(&mut self) {
        self.depacketizer.reset();
        if self.timestamp.is_some() {
            self.broken = true;
        }
        self.head_unknown = true;
        self.found.push_back(Found::Lost);
    }

    fn packet(&mut self, packet: RtpPacket) {
        if self
            .timestamp
            .is_some_and(|timestamp| timestamp != packet.timestamp)
        {
            self.next_timestamp();
        }
        let first = self.timestamp.is_none();
        self.timestamp = Some(packet.timestamp);
        // A packet without payload is padding that keeps the path open.
        if !packet.payload.is_empty() {
            let before = self.nals.len();
            if self.depacketizer.push(packet.payload, &mut self.nals).is_err() {
                self.broken = true;
                self.nals.truncate(before);
            }
            if first && self.head_unknown {
                self.head_unknown = false;
                self.broken |= !self.nals.get(before).is_some_and(|nal| opens_a_unit(nal));
            }
            self.note(before);
        }
        if packet.marker && !self.marker_lies && (self.has_picture || self.broken) {
            self.marked = Some(packet.timestamp);
            self.end();
        }
    }

    /// Takes note of the NAL units from `from` on.
    fn note(&mut self, from: usize) {
        for nal in self.nals.iter().skip(from) {
            let kind = nal
                .first()
                .map_or(NalType::Unspecified, |header| NalType::of(*header));
            self.bytes += nal.len();
            match kind {
                NalType::Sps | NalType::Pps => self.found.push_back(Found::ParameterSet(nal.clone())),
                NalType::Slice | NalType::IdrSlice => {
                    let continues = !self.has_picture
                        && self.marked == self.timestamp
                        && BitReader::new(nal).exp_golomb() != Some(0);
                    if continues {
                        // The marker ended a unit of which this is the rest.
                        self.marker_lies = true;
                        self.broken = true;
                    }
                    self.has_picture = true;
                    self.idr |= kind == NalType::IdrSlice;
                }
                NalType::Sei
                | NalType::Delimiter
                | NalType::Padding
                | NalType::Extension
                | NalType::StapA
                | NalType::FuA
                | NalType::Interleaved
                | NalType::Unspecified => {}
            }
        }
        if self.bytes > MAX_UNIT_BYTES || self.nals.len() > MAX_UNIT_NALS {
            self.broken = true;
            self.nals.clear();
            self.bytes = 0;
        }
    }

    fn next_timestamp(&mut self) {
        if self.depacketizer.is_unfinished() {
            self.broken = true;
        }
        // Parameter sets that were stamped earlier than their picture belong to the picture that follows.
        if self.has_picture || self.broken {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.depacketizer.is_unfinished() {
            self.broken = true;
        }
        self.depacketizer.reset();
        let nals = std::mem::take(&mut self.nals);
        if let Some(timestamp) = self.timestamp.take() {
            if self.broken {
                self.found.push_back(Found::Lost);
            } else {
                self.found.push_back(Found::Unit(AccessUnit {
                    timestamp,
                    idr: self.idr,
                    nals,
                }));
            }
        }
        self.bytes = 0;
        self.has_picture = false;
        self.idr = false;
        self.broken = false;
    }
}

/// Whether nothing of the same access unit can come before this NAL unit (H.264 section 7.4.1.2.3).
fn opens_a_unit(nal: &[u8]) -> bool {
    nal.first()
        .is_some_and(|header| matches!(NalType::of(*header), NalType::Delimiter | NalType::Sps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, marker: bool, payload: &'static [u8]) -> Item {
        Item::Packet(RtpPacket {
            sequence: 0,
            timestamp,
            marker,
            payload: Bytes::from_static(payload),
        })
    }

    fn found(items: impl IntoIterator<Item = Item>) -> Vec<String> {
        let mut assembler = Assembler::default();
        let mut all = Vec::new();
        for item in items {
            assembler.push(item);
            while let Some(found) = assembler.pop() {
                match found {
                    Found::ParameterSet(_) => {}
                    Found::Unit(unit) => all.push(format!("{}x{}", unit.timestamp, unit.nals.len())),
                    Found::Lost => all.push("lost".to_owned()),
                }
            }
        }
        all
    }

    const SPS: &[u8] = &[0x67, 1];
    const PPS: &[u8] = &[0x68, 1];
    const IDR: &[u8] = &[0x65, 0x80];
    const P: &[u8] = &[0x41, 0x80];
    const P_REST: &[u8] = &[0x41, 0x40];

    #[test]
    fn a_unit_ends_with_the_marker_at_once() {
        assert_eq!(
            found([packet(0, false, SPS), packet(0, false, PPS), packet(0, true, IDR)]),
            ["0x3"]
        );
    }

    #[test]
    fn a_unit_without_a_marker_ends_where_the_timestamp_changes() {
        let items = [
            packet(0, false, SPS),
            packet(0, false, IDR),
            packet(3, false, P),
            packet(6, true, P),
        ];
        assert_eq!(found(items), ["0x2", "3x1", "6x1"]);
    }

    #[test]
    fn a_marker_on_parameter_sets_does_not_end_the_unit() {
        assert_eq!(
            found([packet(0, true, SPS), packet(0, true, PPS), packet(0, true, IDR)]),
            ["0x3"]
        );
        assert_eq!(found([packet(0, true, SPS), packet(1, true, IDR)]), ["1x2"]);
    }

    #[test]
    fn a_gap_drops_the_unit_it_touches_and_the_one_that_may_have_lost_its_beginning() {
        let gap = || Item::Gap { packets: 1 };
        let head = || [packet(0, false, SPS), packet(0, true, IDR), packet(3, false, P)];
        assert_eq!(
            found(head().into_iter().chain([gap(), packet(3, true, P)])),
            ["0x2", "lost", "lost"]
        );
        let items = [gap(), packet(6, true, P), packet(9, true, P)];
        assert_eq!(
            found(head().into_iter().chain(items)),
            ["0x2", "lost", "lost", "lost", "9x1"]
        );
        let items = [gap(), packet(6, false, SPS), packet(6, true, IDR)];
        assert_eq!(
            found(head().into_iter().chain(items)),
            ["0x2", "lost", "lost", "6x2"]
        );
    }

    #[test]
    fn a_sender_that_marks_every_slice_is_found_out_and_its_units_stay_whole() {
        let slices = |t| [packet(t, true, P), packet(t, true, P_REST)];
        let mut items = vec![packet(0, false, SPS), packet(0, true, IDR)];
        items.extend((1..5).flat_map(slices));
        assert_eq!(found(items), ["0x2", "1x1", "lost", "2x2", "3x2"]);
    }

    #[test]
    fn a_stream_joined_in_the_middle_of_a_unit_begins_with_the_next_one() {
        assert_eq!(found([packet(0, true, P), packet(3, true, P)]), ["lost", "3x1"]);
    }
}
