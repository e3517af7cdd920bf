//! NAL units of a byte stream (H.264 Annex B) and of RTP payloads (RFC 6184).

/// NAL unit type of an IDR slice.
pub(crate) const IDR: u8 = 5;

/// Whether an access unit holds an IDR slice.
pub(crate) fn has_idr(unit: &[u8]) -> bool {
    nals(unit).any(|nal| kind(nal) == Some(IDR))
}

/// The type of a NAL unit; `None` when it is empty.
pub(crate) fn kind(nal: &[u8]) -> Option<u8> {
    nal.first().map(|header| header & 0x1F)
}

/// The NAL units between start codes, without trailing zero bytes.
pub(crate) fn nals(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = find_start_code(bytes).unwrap_or(bytes.len());
        let (nal, tail) = bytes.split_at_checked(end)?;
        rest = after_start_code(tail);
        let zeros = nal.iter().rev().take_while(|byte| **byte == 0).count();
        nal.get(..nal.len() - zeros)
    })
    .filter(|nal| !nal.is_empty())
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(find_start_code(bytes)? + 3..)
}

/// Takes NAL units out of the RTP payloads that a payloader makes: single NAL units, STAP-A and FU-A.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    fragment: Vec<u8>,
}

impl Unpacker {
    /// Calls `each` with every NAL unit that this payload completes.
    pub(crate) fn push(&mut self, payload: &[u8], mut each: impl FnMut(&[u8])) {
        match (kind(payload), payload) {
            (Some(24), [_, aggregate @ ..]) => {
                let mut rest = aggregate;
                while let Some(([high, low], tail)) = rest.split_first_chunk() {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let Some((nal, tail)) = tail.split_at_checked(length) else {
                        return;
                    };
                    each(nal);
                    rest = tail;
                }
            }
            (Some(28), [indicator, header, data @ ..]) => {
                if header & 0x80 != 0 {
                    self.fragment = vec![indicator & 0xE0 | header & 0x1F];
                }
                self.fragment.extend_from_slice(data);
                if header & 0x40 != 0 {
                    each(&self.fragment);
                }
            }
            _ => each(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lengths_of_start_code_separate_units() {
        let stream = [0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3, 0];
        assert_eq!(
            nals(&stream).collect::<Vec<_>>(),
            [&[0x67, 1][..], &[0x68, 2], &[0x65, 3]]
        );
        assert!(has_idr(&stream));
        assert!(!has_idr(&[0, 0, 1, 0x41, 9]));
    }

    #[test]
    fn an_aggregate_and_a_fragmented_unit_come_out_whole() {
        let mut unpacker = Unpacker::default();
        let mut units = Vec::new();
        for payload in [
            &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2][..],
            &[0x7C, 0x85, 10],
            &[0x7C, 0x05, 11],
            &[0x7C, 0x45, 12],
            &[0x41, 9],
        ] {
            unpacker.push(payload, |nal| units.push(nal.to_vec()));
        }
        assert_eq!(
            units,
            [
                vec![0x67, 1],
                vec![0x68, 2],
                vec![0x65, 10, 11, 12],
                vec![0x41, 9]
            ]
        );
    }
}
