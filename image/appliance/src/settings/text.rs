//! A file's bytes as text, whichever editor wrote them.

/// The largest file that is read; a settings file has about 5 KiB.
pub const LIMIT_BYTES: u64 = 256 * 1024;

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than any settings file.
    #[error("the file is larger than {} KiB, so it is not a settings file", LIMIT_BYTES / 1024)]
    TooLarge,
    /// Neither UTF-8 nor UTF-16.
    #[error("the line has a character that is not UTF-8; save the file again with the encoding UTF-8")]
    NotText {
        /// The line, counted from 1.
        line: usize,
    },
}

impl Error {
    /// The stable word for logs and tests.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NotText { .. } => "not-utf-8",
        }
    }

    /// The same bytes stay wrong.
    pub const fn is_retryable(self) -> bool {
        false
    }

    /// The line that it is about.
    pub const fn line(self) -> Option<usize> {
        match self {
            Self::TooLarge => None,
            Self::NotText { line } => Some(line),
        }
    }
}

/// Decodes UTF-8 and UTF-16, with or without a byte order mark. Line ends stay as they are.
///
/// # Errors
/// All of [`Error`].
pub fn decode(bytes: &[u8]) -> Result<String, Error> {
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(Error::TooLarge);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        return utf16(rest, u16::from_le_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        return utf16(rest, u16::from_be_bytes);
    }
    match (zero_at(bytes, 0), zero_at(bytes, 1)) {
        (false, true) => return utf16(bytes, u16::from_le_bytes),
        (true, false) => return utf16(bytes, u16::from_be_bytes),
        _ => {}
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        let good = bytes.iter().take(error.utf8_error().valid_up_to());
        Error::NotText {
            line: 1 + good.filter(|byte| **byte == b'\n').count(),
        }
    })
}

/// As in UTF-16 without a mark: a zero byte beside each of the first letters.
fn zero_at(bytes: &[u8], parity: usize) -> bool {
    bytes.len() >= 4
        && bytes
            .iter()
            .take(8)
            .skip(parity)
            .step_by(2)
            .all(|byte| *byte == 0)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut line = 1;
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|letter| {
            let letter = letter.map_err(|_| Error::NotText { line })?;
            line += usize::from(letter == '\n');
            Ok(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# Grüße\r\n[stream]\r\nkey = \"live_1\"\r\n";

    fn le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn be(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn what_notepad_writes_is_read() {
        for bytes in [
            TEXT.as_bytes().to_vec(),
            [b"\xEF\xBB\xBF", TEXT.as_bytes()].concat(),
            [b"\xFF\xFE".to_vec(), le(TEXT)].concat(),
            [b"\xFE\xFF".to_vec(), be(TEXT)].concat(),
            le(TEXT),
            be(TEXT),
        ] {
            assert_eq!(decode(&bytes).unwrap(), TEXT);
        }
    }

    #[test]
    fn another_encoding_is_said_with_its_line() {
        let error = decode(b"# one\n# Gr\xFC\xDFe\n").unwrap_err();
        assert_eq!((error.kind(), error.line()), ("not-utf-8", Some(2)));
    }

    #[test]
    fn a_film_is_no_settings_file() {
        assert_eq!(
            decode(&vec![b' '; usize::try_from(LIMIT_BYTES).unwrap() + 1]).unwrap_err(),
            Error::TooLarge
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_text_comes_back(text in "[ -~\u{e4}\u{20ac}\r\n]{0,80}") {
            prop_assert_eq!(decode(&[b"\xFF\xFE".to_vec(), le(&text)].concat()).unwrap(), text.clone());
            prop_assert_eq!(decode(&[b"\xEF\xBB\xBF", text.as_bytes()].concat()).unwrap(), text);
        }
    }
}
