//! The picture: a noisy scene, something that moves, text for people, and the stamp for programs.

use super::block_code::{self, Stamp, WHITE};
use super::canvas::Canvas;

/// Width and height in pixels, both multiples of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Size {
    /// Bytes of one I420 picture.
    pub(crate) fn bytes(self) -> usize {
        self.luma() * 3 / 2
    }

    fn luma(self) -> usize {
        self.width * self.height
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (width, height) = text.split_once('x').ok_or("a size is written WIDTHxHEIGHT")?;
        let [width, height] = [width, height].map(|side| side.parse().unwrap_or(0));
        let fits = |side: usize| (160..=4096).contains(&side) && side.is_multiple_of(8);
        if fits(width) && fits(height) {
            Ok(Self { width, height })
        } else {
            Err(format!(
                "'{text}' is not a size: both sides are multiples of 8 between 160 and 4096"
            ))
        }
    }
}

/// Paints pictures of one size and one screen.
#[derive(Debug)]
pub(crate) struct Painter {
    size: Size,
    screen: usize,
    label: String,
    /// Luma of the scene without noise; the noise added to it never overflows.
    scene: Vec<u8>,
    /// Twice the luma of a picture, entered at another place for every frame, so motion search finds nothing.
    noise: Vec<u8>,
}

const NOISE_PEAK: u8 = 24;
const TEXT: u8 = 225;

impl Painter {
    pub(crate) fn new(size: Size, screen: usize, label: &str) -> Self {
        let mut random = XorShift(0x9E37_79B9_7F4A_7C15);
        Self {
            size,
            screen,
            label: label.to_owned(),
            scene: scene(size, screen),
            noise: (0..2 * size.luma()).map(|_| random.below(NOISE_PEAK)).collect(),
        }
    }

    /// Paints one I420 picture without padding.
    pub(crate) fn paint(&self, picture: &mut [u8], stamp: Stamp) {
        let Some((luma, chroma)) = picture.split_at_mut_checked(self.size.luma()) else {
            return;
        };
        self.add_noise(luma, stamp.frame);
        let mut canvas = Canvas::new(luma, self.size.width);
        self.draw_motion(&mut canvas, stamp.frame);
        self.draw_text(&mut canvas, stamp);
        block_code::draw(&mut canvas, stamp);
        self.tint(chroma);
    }

    fn add_noise(&self, luma: &mut [u8], frame: u32) {
        let mut random = XorShift(u64::from(frame).wrapping_mul(0x2545_F491_4F6C_DD1D) | 1);
        random.next();
        let start = usize::try_from(random.next() >> 33).unwrap_or(0) % self.size.luma();
        let noise = self.noise.iter().skip(start);
        for ((pixel, scene), noise) in luma.iter_mut().zip(&self.scene).zip(noise) {
            *pixel = scene + noise;
        }
    }

    /// A ball that crosses the lower half in two seconds at 30 fps.
    fn draw_motion(&self, canvas: &mut Canvas<'_>, frame: u32) {
        let side = self.size.height / 8;
        let travel = self.size.width - side;
        let phase = usize::try_from(frame % 120).unwrap_or(0);
        let step = if phase < 60 { phase } else { 120 - phase };
        let left = travel * step / 60;
        let top = self.size.height * 3 / 4;
        canvas.fill(left..left + side, top..top + side, WHITE);
    }

    fn draw_text(&self, canvas: &mut Canvas<'_>, stamp: Stamp) {
        let scale = (self.size.height / 180).max(1);
        let day_ms = stamp.unix_ms % 86_400_000;
        let (hours, minutes) = (day_ms / 3_600_000, day_ms / 60_000 % 60);
        let (seconds, millis) = (day_ms / 1000 % 60, day_ms % 1000);
        let line = format!(
            "{hours:02}:{minutes:02}:{seconds:02}.{millis:03} UTC  FRAME {}",
            stamp.frame
        );
        let left = self.size.width / 32;
        canvas.text(left, self.size.height * 10 / 18, scale, TEXT, &line);
        canvas.text(left, self.size.height * 12 / 18, scale, TEXT, &self.label);
    }

    fn tint(&self, chroma: &mut [u8]) {
        let (blue, red) = chroma.split_at_mut(chroma.len() / 2);
        let step = u8::try_from(self.screen * 13 % 96).unwrap_or(0);
        blue.fill(80 + step);
        red.fill(176 - step);
    }
}

/// A gradient with stripes whose direction and width depend on the screen.
fn scene(size: Size, screen: usize) -> Vec<u8> {
    let stripe = size.width / (4 + screen % 5);
    let pixel = |x: usize, y: usize| {
        let across = if screen.is_multiple_of(2) {
            x + y
        } else {
            x + size.height - y
        };
        let shade = 60 * y / size.height
            + if (across / stripe).is_multiple_of(2) {
                40
            } else {
                90
            };
        u8::try_from(shade).unwrap_or(0)
    };
    (0..size.height)
        .flat_map(|y| (0..size.width).map(move |x| pixel(x, y)))
        .collect()
}

/// Marsaglia's xorshift64*: repeatable noise without a dependency.
#[derive(Debug)]
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u8) -> u8 {
        u8::try_from((self.next() >> 32) % u64::from(limit)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(painter: &Painter, frame: u32) -> Vec<u8> {
        let mut bytes = vec![0; painter.size.bytes()];
        painter.paint(
            &mut bytes,
            Stamp {
                frame,
                unix_ms: 0,
                screen: 0,
                mark: false,
            },
        );
        bytes
    }

    #[test]
    fn two_frames_share_no_noise_and_the_same_frame_is_the_same_picture() {
        let painter = Painter::new(
            Size {
                width: 320,
                height: 176,
            },
            0,
            "mech",
        );
        let (one, two) = (picture(&painter, 1), picture(&painter, 2));
        assert_eq!(one, picture(&painter, 1));
        let same = one[..320 * 30].iter().zip(&two).filter(|(a, b)| a == b).count();
        assert!(same < 320 * 30 / 3, "{same} pixels are equal");
    }

    #[test]
    fn two_screens_look_different() {
        let size = Size {
            width: 320,
            height: 176,
        };
        assert_ne!(scene(size, 0), scene(size, 1));
    }

    #[test]
    fn a_size_that_an_encoder_cannot_take_is_refused() {
        assert!("1280x720".parse::<Size>().is_ok());
        for bad in ["1280", "1281x720", "0x0", "x", "99999x720"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
