//! SHA-256, and the identifiers that are made of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{OnFile, Result};

/// The SHA-256 of `bytes` in lower-case hex.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file in lower-case hex.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).on("read", path)?;
    let mut sum = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut piece).on("read", path)?;
        if count == 0 {
            return Ok(hex(&sum.finalize()));
        }
        sum.update(piece.get(..count).unwrap_or_default());
    }
}

/// A UUID that `name` always gives.
///
/// It has the form of a random one (RFC 9562, version 4), and nothing in it is random.
#[must_use]
pub fn uuid(name: &str) -> String {
    let mut bytes = Sha256::digest(format!("spotstream image {name}"));
    if let Some(byte) = bytes.get_mut(6) {
        *byte = *byte & 0x0f | 0x40;
    }
    if let Some(byte) = bytes.get_mut(8) {
        *byte = *byte & 0x3f | 0x80;
    }
    let hex = hex(&bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_gives_the_same_uuid_and_another_name_another() {
        assert_eq!(uuid("disk"), uuid("disk"));
        assert_ne!(uuid("disk"), uuid("data"));
        assert_eq!(uuid("disk").len(), 36);
        assert_eq!(uuid("disk").as_bytes()[14], b'4');
    }

    #[test]
    fn the_sum_of_nothing_is_the_published_one() {
        assert!(of_bytes(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    }
}
