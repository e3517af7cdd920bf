//! The machine-readable stamp in the picture: 96 bits as black and white cells that survive hard compression.
//!
//! The picture is divided into 32 by 18 equal cells. Columns 8..24 and rows 2..8 hold the bits, row by row, most
//! significant first, white = 1: frame number (32), Unix time in ms modulo 2^40 (40), screen (8), CRC-16/CCITT-FALSE
//! of those ten bytes (16). Columns 26..30, rows 2..6 are the mark: white while the tone sounds, black otherwise.
//! `ci/referees/frame_code.py` reads it.

use super::canvas::Canvas;

const COLUMNS: usize = 32;
const ROWS: usize = 18;
const CODE_LEFT: usize = 8;
const CODE_TOP: usize = 2;
const CODE_COLUMNS: usize = 16;

/// Luma of a one and of a zero (BT.601 limited range).
pub(crate) const WHITE: u8 = 235;
pub(crate) const BLACK: u8 = 16;

/// What one picture says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) frame: u32,
    /// Milliseconds since 1970; 40 bits are drawn.
    pub(crate) unix_ms: u64,
    /// Index in the list of screens.
    pub(crate) screen: u8,
    /// Whether the tone sounds while this picture is shown.
    pub(crate) mark: bool,
}

/// Draws the code and the mark.
pub(crate) fn draw(canvas: &mut Canvas<'_>, stamp: Stamp) {
    let bits = bytes(stamp)
        .into_iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    for (index, one) in bits.enumerate() {
        let column = CODE_LEFT + index % CODE_COLUMNS;
        let row = CODE_TOP + index / CODE_COLUMNS;
        fill_cells(canvas, (column, row), (1, 1), one);
    }
    fill_cells(canvas, (26, 2), (4, 4), stamp.mark);
}

fn fill_cells(
    canvas: &mut Canvas<'_>,
    (column, row): (usize, usize),
    (columns, rows): (usize, usize),
    white: bool,
) {
    let (left, right) = (
        column * canvas.width() / COLUMNS,
        (column + columns) * canvas.width() / COLUMNS,
    );
    let (top, bottom) = (
        row * canvas.height() / ROWS,
        (row + rows) * canvas.height() / ROWS,
    );
    canvas.fill(left..right, top..bottom, if white { WHITE } else { BLACK });
}

fn bytes(stamp: Stamp) -> [u8; 12] {
    let [a, b, c, d] = stamp.frame.to_be_bytes();
    let [_, _, _, e, f, g, h, i] = stamp.unix_ms.to_be_bytes();
    let body = [a, b, c, d, e, f, g, h, i, stamp.screen];
    let [high, low] = crc16(&body).to_be_bytes();
    [a, b, c, d, e, f, g, h, i, stamp.screen, high, low]
}

/// CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }

    #[test]
    fn every_field_has_its_place() {
        let stamp = Stamp {
            frame: 0x0102_0304,
            unix_ms: 0x05_0607_0809,
            screen: 0x0A,
            mark: true,
        };
        assert_eq!(bytes(stamp)[..10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn a_set_bit_is_a_white_cell() {
        let mut luma = vec![128; 320 * 180];
        draw(
            &mut Canvas::new(&mut luma, 320),
            Stamp {
                frame: 1 << 31,
                unix_ms: 0,
                screen: 0,
                mark: false,
            },
        );
        assert_eq!(luma[25 * 320 + 85], WHITE);
        assert_eq!(luma[25 * 320 + 95], BLACK);
    }
}
