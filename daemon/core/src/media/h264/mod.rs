//! H.264 over RTP (RFC 6184): packets in, whole access units out.

pub mod access_unit;
pub mod depacketizer;
pub mod nal;
pub mod parameter_sets;
pub mod picture_order;

use bytes::Bytes;

/// What a decoder must know before the first picture.
///
/// It holds what an AVCDecoderConfigurationRecord (ISO 14496-15 section 5.3.3.1) is made of; profile, constraints and
/// level are bytes 1 to 3 of the SPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoderConfiguration {
    /// The sequence parameter set, as a NAL unit.
    pub sps: Bytes,
    /// The picture parameter sets that refer to it, as NAL units, by rising id; at least one.
    pub pps: Vec<Bytes>,
    /// Picture width in pixels, cropping applied.
    pub width: u32,
    /// Picture height in pixels, cropping applied.
    pub height: u32,
    /// What the record says beyond Main profile; `None` for Baseline, Main and Extended.
    pub high: Option<HighProfile>,
}

/// The last four bytes of the configuration record of profiles 100, 110, 122, 244 and their kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighProfile {
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4 (H.264 section 6.2).
    pub chroma_format_idc: u8,
    /// Bits of a luma sample, minus 8.
    pub bit_depth_luma_minus8: u8,
    /// Bits of a chroma sample, minus 8.
    pub bit_depth_chroma_minus8: u8,
}
