//! Whether pictures are shown in the order in which they are decoded (H.264 section 8.2.1).
//!
//! WebRTC cameras send no B pictures, whatever their profile says; so what decides is the order count of the pictures
//! themselves. A stream that does reorder is refused, because decoding times cannot be had from RTP, which carries
//! presentation times only (RFC 6184 section 5.1).

use super::nal::BitReader;
use super::parameter_sets::{Order, SpsFacts};

/// One fall of the order count may be a reset by `memory_management_control_operation` 5 (H.264 section 8.2.1);
/// a stream with B pictures shows this many within a group of pictures.
const FALLS: u8 = 2;

/// The beginning of a slice header (H.264 section 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whether it predicts from two directions.
    pub is_b: bool,
    /// The picture parameter set it refers to.
    pub pps: u8,
    /// The low bits of the order count, where the stream has them.
    pub order_low_bits: Option<u32>,
}

/// The id of the picture parameter set that a slice refers to.
pub fn pps_of(nal: &[u8]) -> Option<u8> {
    let mut reader = BitReader::new(nal);
    reader.exp_golomb()?;
    reader.exp_golomb()?;
    reader.exp_golomb().and_then(|id| u8::try_from(id).ok())
}

impl Slice {
    /// Reads the header of the slice `nal`.
    pub fn read(nal: &[u8], sps: &SpsFacts) -> Option<Self> {
        let idr = nal.first()? & 0x1F == 5;
        let mut reader = BitReader::new(nal);
        reader.exp_golomb()?;
        let kind = reader.exp_golomb()?;
        let pps = u8::try_from(reader.exp_golomb()?).ok()?;
        if sps.separate_planes {
            reader.bits(2)?;
        }
        reader.bits(sps.frame_num_bits)?;
        if sps.fields && reader.bit()? {
            reader.bit()?;
        }
        if idr {
            reader.exp_golomb()?;
        }
        let order_low_bits = match sps.order {
            Order::Counted { bits } => Some(reader.bits(bits)?),
            Order::Derived | Order::Decoding => None,
        };
        Some(Self {
            is_b: kind % 5 == 1,
            pps,
            order_low_bits,
        })
    }
}

/// Watches the order counts of one stream.
#[derive(Debug, Default)]
pub struct PictureOrder {
    last: Option<u32>,
    falls: u8,
}

impl PictureOrder {
    /// Forgets the last picture: after a loss the next one says nothing about order.
    pub fn reset(&mut self) {
        self.last = None;
    }

    /// Takes the next picture in decoding order; true once the stream is known to reorder pictures.
    pub fn is_reordered(&mut self, slice: &Slice, idr: bool, sps: &SpsFacts) -> bool {
        if sps.reorder_depth == Some(0) || sps.order == Order::Decoding {
            return false;
        }
        let Order::Counted { bits } = sps.order else {
            // Deltas lie too deep in the header; a B slice without a promise not to reorder is taken at its word.
            return slice.is_b;
        };
        let Some(count) = slice.order_low_bits else {
            return false;
        };
        let last = self.last.replace(count);
        if idr {
            self.falls = 0;
            return false;
        }
        let Some(last) = last else { return false };
        let half = 1u32 << (bits - 1);
        let step = count.wrapping_sub(last) & (2 * half - 1);
        if step >= half {
            self.falls += 1;
        }
        self.falls >= FALLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sps(reorder_depth: Option<u32>) -> SpsFacts {
        SpsFacts {
            width: 16,
            height: 16,
            high: None,
            order: Order::Counted { bits: 6 },
            frame_num_bits: 4,
            separate_planes: false,
            fields: false,
            reorder_depth,
        }
    }

    fn reordered(counts: &[u32], reorder_depth: Option<u32>) -> bool {
        let mut order = PictureOrder::default();
        let sps = sps(reorder_depth);
        let mut verdict = false;
        for (index, count) in counts.iter().enumerate() {
            let slice = Slice {
                is_b: false,
                pps: 0,
                order_low_bits: Some(*count),
            };
            verdict |= order.is_reordered(&slice, index == 0, &sps);
        }
        verdict
    }

    #[test]
    fn rising_counts_are_accepted_across_their_wrap_in_any_profile() {
        let counts: Vec<u32> = (0..100).map(|n| n * 2 % 64).collect();
        assert!(!reordered(&counts, None));
        assert!(!reordered(&counts, Some(2)));
    }

    #[test]
    fn b_pictures_are_found_out_and_a_promise_of_none_is_believed() {
        assert!(reordered(&[0, 8, 4, 2, 6, 16], None));
        assert!(!reordered(&[0, 8, 4, 2, 6, 16], Some(0)));
    }
}
