//! RTP payloads to NAL units (RFC 6184 sections 5.6, 5.7.1, 5.8).

use bytes::{Buf, Bytes, BytesMut};

use super::nal::NalType;

/// No camera sends a NAL unit this large; a stream that claims to is not kept in memory to find out.
const MAX_NAL_BYTES: usize = 4 << 20;
/// As many fragments of any useful size as make a NAL unit of that size.
const MAX_FRAGMENTS: usize = 8192;

/// Why a payload was refused. Nothing that belonged to it has come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The payload has no byte.
    #[error("empty payload")]
    Empty,
    /// A size in a STAP-A points past its end.
    #[error("an aggregation packet claims more bytes than it has")]
    Aggregation,
    /// A fragment that has no start, or ends before it starts.
    #[error("a fragment without its start")]
    Fragment,
    /// A NAL unit begins while the fragments of another are not complete.
    #[error("a fragmented NAL unit without its end")]
    Unfinished,
    /// A NAL unit of more than 4 MiB, or of more than 8192 fragments.
    #[error("a NAL unit larger than 4 MiB")]
    TooLarge,
    /// A payload type that packetization modes 0 and 1 do not have.
    #[error("packetization that is not mode 0 or 1")]
    Unsupported,
}

/// Puts fragments together. The caller guarantees that payloads come in sequence without a gap, and calls
/// [`Depacketizer::reset`] at a gap and at a change of timestamp.
#[derive(Debug, Default)]
pub struct Depacketizer {
    /// Fragments of the NAL unit in progress, and its header.
    fragments: Vec<Bytes>,
    header: u8,
    size: usize,
}

impl Depacketizer {
    /// Forgets a NAL unit in progress.
    pub fn reset(&mut self) {
        self.fragments.clear();
        self.size = 0;
    }

    /// Whether a fragmented NAL unit lacks its end.
    pub fn is_unfinished(&self) -> bool {
        !self.fragments.is_empty()
    }

    /// Appends the NAL units that `payload` completes to `nals`.
    ///
    /// # Errors
    /// When the payload breaks RFC 6184; the NAL unit in progress is then gone.
    pub fn push(&mut self, payload: Bytes, nals: &mut Vec<Bytes>) -> Result<(), Error> {
        let result = self.try_push(payload, nals);
        if result.is_err() {
            self.reset();
        }
        result
    }

    fn try_push(&mut self, payload: Bytes, nals: &mut Vec<Bytes>) -> Result<(), Error> {
        let header = *payload.first().ok_or(Error::Empty)?;
        let kind = NalType::of(header);
        if kind != NalType::FuA && self.is_unfinished() {
            return Err(Error::Unfinished);
        }
        match kind {
            NalType::FuA => self.fragment(header, payload, nals),
            NalType::StapA => aggregated(payload, nals),
            NalType::Interleaved | NalType::Unspecified => Err(Error::Unsupported),
            NalType::Slice
            | NalType::IdrSlice
            | NalType::Sei
            | NalType::Sps
            | NalType::Pps
            | NalType::Delimiter
            | NalType::Padding
            | NalType::Extension => {
                nals.push(payload);
                Ok(())
            }
        }
    }

    fn fragment(&mut self, indicator: u8, mut payload: Bytes, nals: &mut Vec<Bytes>) -> Result<(), Error> {
        let fu_header = *payload.get(1).ok_or(Error::Fragment)?;
        let (start, end) = (fu_header & 0x80 != 0, fu_header & 0x40 != 0);
        // F and NRI come from the indicator, the type from the FU header; 24 to 31 cannot be fragmented.
        let header = indicator & 0xE0 | fu_header & 0x1F;
        if !matches!(header & 0x1F, 1..=23) {
            return Err(Error::Unsupported);
        }
        match (start, self.is_unfinished()) {
            (true, true) => return Err(Error::Unfinished),
            (false, false) => return Err(Error::Fragment),
            (true, false) => self.header = header,
            (false, true) if self.header & 0x1F != header & 0x1F => return Err(Error::Fragment),
            (false, true) => {}
        }
        payload.advance(2);
        self.size += payload.len();
        if self.size > MAX_NAL_BYTES || self.fragments.len() >= MAX_FRAGMENTS {
            return Err(Error::TooLarge);
        }
        self.fragments.push(payload);
        if end {
            // The only copy on the way of the picture: once, at its full size.
            let mut nal = BytesMut::with_capacity(1 + self.size);
            nal.extend_from_slice(&[self.header]);
            for fragment in self.fragments.drain(..) {
                nal.extend_from_slice(&fragment);
            }
            self.size = 0;
            nals.push(nal.freeze());
        }
        Ok(())
    }
}

/// The NAL units of a STAP-A. One stray byte at the end is tolerated; some senders pad.
fn aggregated(mut payload: Bytes, nals: &mut Vec<Bytes>) -> Result<(), Error> {
    let already = nals.len();
    payload.advance(1);
    while payload.len() >= 2 {
        let size = usize::from(payload.get_u16());
        if size == 0 || size > payload.len() {
            nals.truncate(already);
            return Err(Error::Aggregation);
        }
        let nal = payload.split_to(size);
        if nal.first().is_none_or(|header| !matches!(header & 0x1F, 1..=23)) {
            nals.truncate(already);
            return Err(Error::Unsupported);
        }
        nals.push(nal);
    }
    if nals.len() == already {
        Err(Error::Aggregation)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push(depacketizer: &mut Depacketizer, payload: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut nals = Vec::new();
        depacketizer.push(Bytes::copy_from_slice(payload), &mut nals)?;
        Ok(nals.into_iter().map(|nal| nal.to_vec()).collect())
    }

    #[test]
    fn an_aggregation_packet_that_claims_too_much_is_refused_whole() {
        let mut depacketizer = Depacketizer::default();
        let payload = [0x78, 0, 2, 0x67, 1, 0, 9, 0x68];
        assert_eq!(push(&mut depacketizer, &payload), Err(Error::Aggregation));
        assert_eq!(
            push(&mut depacketizer, &[0x78, 0, 1, 0x67, 0]),
            Ok(vec![vec![0x67]])
        );
        assert_eq!(push(&mut depacketizer, &[0x78, 0, 0]), Err(Error::Aggregation));
        assert_eq!(push(&mut depacketizer, &[0x78]), Err(Error::Aggregation));
    }

    #[test]
    fn an_aggregation_packet_inside_another_is_never_emitted() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(
            push(&mut depacketizer, &[0x78, 0, 2, 0x78, 1]),
            Err(Error::Unsupported)
        );
        assert_eq!(
            push(&mut depacketizer, &[0x7C, 0x80 | 28, 1]),
            Err(Error::Unsupported)
        );
    }

    #[test]
    fn a_fragment_needs_its_start_and_a_start_needs_the_last_end() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(push(&mut depacketizer, &[0x7C, 0x45, 1]), Err(Error::Fragment));
        assert_eq!(push(&mut depacketizer, &[0x7C, 0x85, 1]), Ok(vec![]));
        assert_eq!(push(&mut depacketizer, &[0x7C, 0x85, 1]), Err(Error::Unfinished));
        assert_eq!(push(&mut depacketizer, &[0x7C, 0x85, 1]), Ok(vec![]));
        assert_eq!(push(&mut depacketizer, &[0x41, 9]), Err(Error::Unfinished));
        assert_eq!(push(&mut depacketizer, &[0x7C, 0x85, 1]), Ok(vec![]));
        assert_eq!(
            push(&mut depacketizer, &[0x7C, 0x45, 2]),
            Ok(vec![vec![0x65, 1, 2]])
        );
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic_and_never_yield_a_packet_type(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40),
        ) {
            let mut depacketizer = Depacketizer::default();
            for payload in payloads {
                for nal in push(&mut depacketizer, &payload).unwrap_or_default() {
                    prop_assert!(matches!(nal[0] & 0x1F, 1..=23));
                }
            }
        }
    }
}
