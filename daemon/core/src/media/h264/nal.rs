//! The first byte of a NAL unit (H.264 section 7.3.1), and what publishing makes of it.

/// What a NAL unit is, as far as transport cares (H.264 table 7-1, RFC 6184 table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice of a picture that is not an IDR picture (1), or a data partition of one (2 to 4).
    Slice,
    /// A slice of an IDR picture (5).
    IdrSlice,
    /// Supplemental enhancement information (6).
    Sei,
    /// A sequence parameter set (7).
    Sps,
    /// A picture parameter set (8).
    Pps,
    /// An access unit delimiter (9).
    Delimiter,
    /// End of sequence (10), end of stream (11) or filler (12): nothing that a container carries.
    Padding,
    /// Several NAL units of one instant (24, STAP-A).
    StapA,
    /// A fragment of a NAL unit (28, FU-A).
    FuA,
    /// Packetization that needs mode 2 (25 to 27, 29): interleaved packets, which no offer to us allows.
    Interleaved,
    /// Extensions of the profile family (13 to 23), passed on as they are.
    Extension,
    /// Not specified (0, 30, 31).
    Unspecified,
}

impl NalType {
    /// From the first byte of a NAL unit.
    pub fn of(header: u8) -> Self {
        match header & 0x1F {
            1..=4 => Self::Slice,
            5 => Self::IdrSlice,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::Delimiter,
            10..=12 => Self::Padding,
            13..=23 => Self::Extension,
            24 => Self::StapA,
            25..=27 | 29 => Self::Interleaved,
            28 => Self::FuA,
            _ => Self::Unspecified,
        }
    }

    /// Whether the NAL unit carries coded picture data.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Slice | Self::IdrSlice)
    }

    /// Whether the NAL unit is published. FLV has no place for delimiters and filler (ISO 14496-15 section 5.2.2).
    pub fn is_published(self) -> bool {
        matches!(
            self,
            Self::Slice | Self::IdrSlice | Self::Sei | Self::Sps | Self::Pps | Self::Extension
        )
    }
}

/// Reads the bits of a NAL unit's payload, skipping emulation prevention bytes (H.264 section 7.3.1, 9.1).
///
/// Only the first few bytes of a slice are ever read, so this walks them in place.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    zeros: u8,
    current: u8,
    left: u8,
}

impl<'a> BitReader<'a> {
    /// Over a whole NAL unit; the header byte is skipped.
    pub(super) fn new(nal: &'a [u8]) -> Self {
        Self {
            bytes: nal,
            at: 1,
            zeros: 0,
            current: 0,
            left: 0,
        }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        if self.left == 0 {
            let mut byte = *self.bytes.get(self.at)?;
            self.at += 1;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = *self.bytes.get(self.at)?;
                self.at += 1;
            }
            self.zeros = if byte == 0 {
                self.zeros.saturating_add(1)
            } else {
                0
            };
            self.current = byte;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.current >> self.left & 1 == 1)
    }

    /// `count` bits, at most 32, most significant first: u(n).
    pub(super) fn bits(&mut self, count: u8) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb code: ue(v).
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0u8;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        (1u32 << zeros).checked_add(rest)?.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_read_across_an_emulation_prevention_byte() {
        // 1 | 010 | 011 | 00100 -> 0, 1, 2, 3
        let mut reader = BitReader::new(&[0x61, 0b1010_0110, 0b0100_0000]);
        assert_eq!(
            [0; 4].map(|_| reader.exp_golomb()),
            [Some(0), Some(1), Some(2), Some(3)]
        );
        // 00 00 03 01: the 03 is not data.
        let mut reader = BitReader::new(&[0x61, 0, 0, 3, 1]);
        assert_eq!(reader.bits(24), Some(1));
        assert_eq!(reader.bit(), None);
    }

    #[test]
    fn a_code_of_nothing_but_zeros_is_no_number() {
        assert_eq!(BitReader::new(&[0x61, 0, 0, 0, 0, 0, 0]).exp_golomb(), None);
    }

    #[test]
    fn delimiters_and_filler_are_not_published() {
        for (header, published) in [
            (0x09, false),
            (0x0C, false),
            (0x78, false),
            (0x65, true),
            (0x06, true),
        ] {
            assert_eq!(NalType::of(header).is_published(), published, "{header:#x}");
        }
    }
}
