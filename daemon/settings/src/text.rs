//! A settings file's bytes as text, and the line of each byte.

use std::ops::Range;

use crate::error::Kind;

/// The largest file that is read; a settings file has about 2 KiB.
pub(crate) const LIMIT_BYTES: u64 = 256 * 1024;

/// The text of one file, without a byte order mark.
#[derive(Debug)]
pub(crate) struct Text(String);

impl Text {
    /// Decodes UTF-8; the error comes with the line that it is about.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, (Option<usize>, Kind)> {
        if bytes.len() as u64 > LIMIT_BYTES {
            return Err((
                None,
                Kind::TooLarge {
                    limit_kib: LIMIT_BYTES / 1024,
                },
            ));
        }
        if is_utf16(bytes) {
            return Err((None, Kind::Utf16));
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self(text.to_owned())),
            Err(error) => Err((Some(line_of(bytes, error.valid_up_to())), Kind::NotUtf8)),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The line of a byte, counted from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        line_of(self.0.as_bytes(), offset)
    }

    /// The text of a line counted from 1.
    pub(crate) fn line(&self, number: usize) -> &str {
        self.0.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }

    /// Whether a line begins a section.
    pub(crate) fn is_header(&self, number: usize) -> bool {
        is_header(self.line(number))
    }

    /// The lines of the section that begins at `header`.
    pub(crate) fn below_header(&self, header: usize) -> Range<usize> {
        let below = self.0.lines().skip(header);
        let first = header + 1;
        first..first + below.take_while(|line| !is_header(line)).count()
    }
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// A byte order mark, or, as in UTF-16 without one, a zero byte beside each of the first letters.
fn is_utf16(bytes: &[u8]) -> bool {
    let zero_at = |parity: usize| {
        bytes
            .iter()
            .take(8)
            .skip(parity)
            .step_by(2)
            .all(|byte| *byte == 0)
    };
    bytes.starts_with(b"\xFF\xFE")
        || bytes.starts_with(b"\xFE\xFF")
        || (bytes.len() >= 4 && zero_at(0) != zero_at(1))
}
