//! The luma plane as something to draw on.

use std::ops::Range;

/// A luma plane without padding.
#[derive(Debug)]
pub(crate) struct Canvas<'a> {
    luma: &'a mut [u8],
    width: usize,
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(luma: &'a mut [u8], width: usize) -> Self {
        Self {
            luma,
            width: width.max(1),
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn height(&self) -> usize {
        self.luma.len() / self.width
    }

    /// Fills a rectangle; what lies outside the plane is left out.
    pub(crate) fn fill(&mut self, columns: Range<usize>, rows: Range<usize>, value: u8) {
        let columns = columns.start.min(self.width)..columns.end.min(self.width);
        for row in self
            .luma
            .chunks_exact_mut(self.width)
            .skip(rows.start)
            .take(rows.len())
        {
            if let Some(pixels) = row.get_mut(columns.clone()) {
                pixels.fill(value);
            }
        }
    }

    /// Writes one line of text, `scale` pixels a dot, five by seven dots a letter.
    pub(crate) fn text(&mut self, left: usize, top: usize, scale: usize, value: u8, text: &str) {
        for (index, letter) in text.chars().enumerate() {
            let left = left + index * 6 * scale;
            for (row, dots) in glyph(letter).into_iter().enumerate() {
                for column in (0..5).filter(|column| dots >> (4 - column) & 1 == 1) {
                    let (x, y) = (left + column * scale, top + row * scale);
                    self.fill(x..x + scale, y..y + scale, value);
                }
            }
        }
    }
}

/// Seven rows of five dots, the leftmost dot in bit 4. A letter that is not drawn here is a blank.
fn glyph(letter: char) -> [u8; 7] {
    match letter.to_ascii_uppercase() {
        '0' => [14, 17, 19, 21, 25, 17, 14],
        '1' => [4, 12, 4, 4, 4, 4, 14],
        '2' => [14, 17, 1, 6, 8, 16, 31],
        '3' => [14, 17, 1, 6, 1, 17, 14],
        '4' => [2, 6, 10, 18, 31, 2, 2],
        '5' => [31, 16, 30, 1, 1, 17, 14],
        '6' => [6, 8, 16, 30, 17, 17, 14],
        '7' => [31, 1, 2, 4, 8, 8, 8],
        '8' => [14, 17, 17, 14, 17, 17, 14],
        '9' => [14, 17, 17, 15, 1, 2, 12],
        'A' => [14, 17, 17, 31, 17, 17, 17],
        'C' => [14, 17, 16, 16, 16, 17, 14],
        'D' => [30, 17, 17, 17, 17, 17, 30],
        'E' => [31, 16, 16, 30, 16, 16, 31],
        'F' => [31, 16, 16, 30, 16, 16, 16],
        'G' => [14, 17, 16, 23, 17, 17, 14],
        'H' => [17, 17, 17, 31, 17, 17, 17],
        'I' => [14, 4, 4, 4, 4, 4, 14],
        'L' => [16, 16, 16, 16, 16, 16, 31],
        'M' => [17, 27, 21, 17, 17, 17, 17],
        'N' => [17, 25, 21, 19, 17, 17, 17],
        'O' => [14, 17, 17, 17, 17, 17, 14],
        'P' => [30, 17, 17, 30, 16, 16, 16],
        'R' => [30, 17, 17, 30, 20, 18, 17],
        'S' => [15, 16, 16, 14, 1, 1, 30],
        'T' => [31, 4, 4, 4, 4, 4, 4],
        'U' => [17, 17, 17, 17, 17, 17, 14],
        'V' => [17, 17, 17, 17, 17, 10, 4],
        'Y' => [17, 17, 10, 4, 4, 4, 4],
        '_' => [0, 0, 0, 0, 0, 0, 31],
        ':' => [0, 4, 0, 0, 0, 4, 0],
        '.' => [0, 0, 0, 0, 0, 4, 4],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_outside_the_plane_is_left_out() {
        let mut luma = vec![0; 16];
        Canvas::new(&mut luma, 4).fill(3..9, 3..9, 7);
        assert_eq!(luma.iter().filter(|value| **value == 7).count(), 1);
        assert_eq!(luma[15], 7);
    }
}
