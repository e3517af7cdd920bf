//! The parameter sets a stream has shown so far, and what they say (H.264 sections 7.3.2.1, 7.3.2.2).

use std::collections::BTreeMap;

use bytes::Bytes;
use h264_reader::nal::sps::{FrameMbsFlags, PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp;

use super::nal::{BitReader, NalType};
use super::{DecoderConfiguration, HighProfile};

/// H.264 level 6.2 has 139264 macroblocks; no side is longer than the square root of eight times that.
const MAX_SIDE: u32 = 16_880;

/// Why a picture cannot be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The sets it refers to have not come yet.
    #[error("the picture refers to parameter sets that have not come")]
    Missing,
    /// The sequence parameter set it refers to cannot be read.
    #[error("the sequence parameter set cannot be read")]
    Unreadable,
}

/// What a sequence parameter set says, as far as transport cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpsFacts {
    /// Picture size in pixels, cropping applied.
    pub width: u32,
    /// Picture size in pixels, cropping applied.
    pub height: u32,
    /// What profiles above Main add.
    pub high: Option<HighProfile>,
    /// How slices say in which order pictures are shown.
    pub order: Order,
    /// Bits of `frame_num` in a slice header.
    pub frame_num_bits: u8,
    /// Whether a slice header has `colour_plane_id`.
    pub separate_planes: bool,
    /// Whether pictures may be fields.
    pub fields: bool,
    /// The most pictures that may precede another in decoding and follow it on the screen, where the VUI says so.
    pub reorder_depth: Option<u32>,
}

/// `pic_order_cnt_type`, H.264 section 8.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Type 0: each slice carries this many low bits of the order count.
    Counted {
        /// Width of `pic_order_cnt_lsb`.
        bits: u8,
    },
    /// Type 1: from `frame_num` and deltas.
    Derived,
    /// Type 2: shown as decoded.
    Decoding,
}

#[derive(Clone, Debug)]
struct Sps {
    nal: Bytes,
    facts: Option<SpsFacts>,
}

#[derive(Clone, Debug)]
struct Pps {
    nal: Bytes,
    sps: u8,
}

/// All parameter sets in force, by id.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sps: BTreeMap<u8, Sps>,
    pps: BTreeMap<u8, Pps>,
}

impl ParameterSets {
    /// Takes a parameter set from the stream or from the offer's `sprop-parameter-sets`; anything else is ignored.
    pub fn insert(&mut self, nal: &Bytes) {
        match nal.first().map(|header| NalType::of(*header)) {
            Some(NalType::Sps) => self.insert_sps(nal),
            Some(NalType::Pps) => self.insert_pps(nal),
            Some(
                NalType::Slice
                | NalType::IdrSlice
                | NalType::Sei
                | NalType::Delimiter
                | NalType::Padding
                | NalType::StapA
                | NalType::FuA
                | NalType::Interleaved
                | NalType::Extension
                | NalType::Unspecified,
            )
            | None => {}
        }
    }

    /// What the sequence parameter set says that `pps` refers to.
    ///
    /// # Errors
    /// [`Error::Missing`] until both sets have come, [`Error::Unreadable`] when the SPS is broken.
    pub fn facts(&self, pps: u8) -> Result<&SpsFacts, Error> {
        let pps = self.pps.get(&pps).ok_or(Error::Missing)?;
        let sps = self.sps.get(&pps.sps).ok_or(Error::Missing)?;
        sps.facts.as_ref().ok_or(Error::Unreadable)
    }

    /// The configuration for a picture that refers to `pps`.
    ///
    /// # Errors
    /// As [`ParameterSets::facts`].
    pub fn configuration(&self, pps: u8) -> Result<DecoderConfiguration, Error> {
        let facts = self.facts(pps)?;
        let sps_id = self.pps.get(&pps).ok_or(Error::Missing)?.sps;
        let sps = self.sps.get(&sps_id).ok_or(Error::Missing)?;
        Ok(DecoderConfiguration {
            sps: sps.nal.clone(),
            pps: self
                .pps
                .values()
                .filter(|pps| pps.sps == sps_id)
                .map(|pps| pps.nal.clone())
                .collect(),
            width: facts.width,
            height: facts.height,
            high: facts.high,
        })
    }

    fn insert_sps(&mut self, nal: &Bytes) {
        // The id follows profile, constraints and level.
        let mut reader = BitReader::new(nal);
        let id = reader
            .bits(24)
            .and_then(|_| reader.exp_golomb())
            .and_then(|id| u8::try_from(id).ok());
        let Some(id) = id.filter(|id| *id < 32) else {
            return;
        };
        if self.sps.get(&id).is_some_and(|known| known.nal == nal) {
            return;
        }
        // A private copy: a slice would keep the packet it came in.
        self.sps.insert(
            id,
            Sps {
                nal: Bytes::copy_from_slice(nal),
                facts: read(nal),
            },
        );
    }

    fn insert_pps(&mut self, nal: &Bytes) {
        let mut reader = BitReader::new(nal);
        let id = reader.exp_golomb().and_then(|id| u8::try_from(id).ok());
        let sps = reader.exp_golomb().and_then(|id| u8::try_from(id).ok());
        let (Some(id), Some(sps)) = (id, sps.filter(|sps| *sps < 32)) else {
            return;
        };
        if self.pps.get(&id).is_none_or(|known| known.nal != nal) {
            self.pps.insert(
                id,
                Pps {
                    nal: Bytes::copy_from_slice(nal),
                    sps,
                },
            );
        }
    }
}

fn read(nal: &[u8]) -> Option<SpsFacts> {
    // Zero bytes behind the NAL unit belong to the byte stream it came from (H.264 annex B.1.1).
    let end = nal.iter().rposition(|byte| *byte != 0)?;
    let payload = rbsp::decode_nal(nal.get(..=end)?).ok()?;
    let sps = SeqParameterSet::from_bits(rbsp::BitReader::new(&*payload)).ok()?;
    let (width, height) = sps.pixel_dimensions().ok()?;
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return None;
    }
    let chroma = &sps.chroma_info;
    let high = sps.profile_idc.has_chroma_info().then(|| HighProfile {
        chroma_format_idc: u8::try_from(chroma.chroma_format.to_u32()).unwrap_or(1),
        bit_depth_luma_minus8: chroma.bit_depth_luma_minus8,
        bit_depth_chroma_minus8: chroma.bit_depth_chroma_minus8,
    });
    let order = match &sps.pic_order_cnt {
        PicOrderCntType::TypeZero {
            log2_max_pic_order_cnt_lsb_minus4,
        } => Order::Counted {
            bits: log2_max_pic_order_cnt_lsb_minus4 + 4,
        },
        PicOrderCntType::TypeOne { .. } => Order::Derived,
        PicOrderCntType::TypeTwo => Order::Decoding,
    };
    Some(SpsFacts {
        width,
        height,
        high,
        order,
        frame_num_bits: sps.log2_max_frame_num(),
        separate_planes: chroma.separate_colour_plane_flag,
        fields: matches!(sps.frame_mbs_flags, FrameMbsFlags::Fields { .. }),
        reorder_depth: sps
            .vui_parameters
            .as_ref()
            .and_then(|vui| vui.bitstream_restrictions.as_ref())
            .map(|restrictions| restrictions.max_num_reorder_frames),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// x264, constrained baseline, 320x180 (cropped from 192 lines), order type 2.
    const BASELINE: &[u8] = &[
        0x67, 0x42, 0xC0, 0x0D, 0xDA, 0x05, 0x06, 0x7E, 0x7C, 0x05, 0xA8, 0x30, 0x30, 0x35, 0x28, 0x00, 0x00,
        0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xE4, 0x78, 0xA1, 0x55,
    ];

    fn sets(nals: &[&[u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        for nal in nals {
            sets.insert(&Bytes::copy_from_slice(nal));
        }
        sets
    }

    #[test]
    fn the_size_is_what_is_shown_and_not_what_is_coded() {
        let sets = sets(&[BASELINE, &[0x68, 0xCE, 0x3C, 0x80]]);
        let facts = sets.facts(0).unwrap();
        assert_eq!(
            (facts.width, facts.height, facts.high, facts.fields),
            (320, 180, None, false)
        );
        assert_eq!(facts.order, Order::Decoding);
    }

    #[test]
    fn a_configuration_holds_every_picture_parameter_set_of_its_sequence() {
        // pps 0 and 1 refer to sps 0, pps 2 to sps 1.
        let (zero, one, two): (&[u8], &[u8], &[u8]) = (&[0x68, 0xCE], &[0x68, 0x5C], &[0x68, 0x69]);
        let sets = sets(&[two, one, zero, BASELINE]);
        assert_eq!(sets.configuration(0).unwrap().pps, [zero, one]);
        assert_eq!(sets.configuration(2), Err(Error::Missing));
    }

    #[test]
    fn a_broken_sequence_parameter_set_is_unreadable_and_heals_with_the_next() {
        let mut sets = sets(&[&BASELINE[..6], &[0x68, 0xCE]]);
        assert_eq!(sets.configuration(0), Err(Error::Unreadable));
        sets.insert(&Bytes::from_static(BASELINE));
        assert!(sets.configuration(0).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_parameter_sets_and_slices_never_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..80),
            high in any::<bool>(),
        ) {
            let mut sps = BASELINE.to_vec();
            if high {
                sps[1] = 100;
            }
            for (at, value) in damage {
                sps[at.index(BASELINE.len() - 1) + 1] = value;
            }
            let mut noisy = vec![0x67];
            noisy.extend_from_slice(&noise);
            for nal in [sps, noisy] {
                let sets = sets(&[&nal, &[0x68, 0xCE], &noise]);
                if let Ok(facts) = sets.facts(0) {
                    let _ = crate::media::h264::picture_order::Slice::read(&noise, facts);
                }
            }
        }
    }
}
