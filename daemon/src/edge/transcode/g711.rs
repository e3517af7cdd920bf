//! G.711 (ITU-T G.711) at 8 kHz to linear samples at 48 kHz.

use std::f32::consts::PI;

/// Samples at 48 kHz for each at 8 kHz.
const FACTOR: usize = 6;
/// Input samples that each output sample is made of; half of them is the delay: 1 ms.
const TAPS: usize = 16;

/// Which of the two companding laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    /// PCMU.
    Mu,
    /// PCMA.
    A,
}

/// Expands and interpolates.
#[derive(Debug)]
pub(super) struct Decoder {
    law: Law,
    /// One low-pass filter for each place between two input samples.
    phases: [[f32; TAPS]; FACTOR],
    history: [f32; TAPS],
}

impl Decoder {
    pub(super) fn new(law: Law) -> Self {
        Self {
            law,
            phases: filter(),
            history: [0.0; TAPS],
        }
    }

    /// Six samples for each byte.
    pub(super) fn decode(&mut self, payload: &[u8]) -> Vec<f32> {
        let mut samples = Vec::with_capacity(payload.len() * FACTOR);
        for byte in payload {
            self.history.rotate_left(1);
            if let Some(newest) = self.history.last_mut() {
                *newest = match self.law {
                    Law::Mu => mu(*byte),
                    Law::A => a(*byte),
                };
            }
            for phase in &self.phases {
                let sum: f32 = phase
                    .iter()
                    .zip(&self.history)
                    .map(|(tap, sample)| tap * sample)
                    .sum();
                samples.push(sum.clamp(-1.0, 1.0));
            }
        }
        samples
    }
}

fn mu(byte: u8) -> f32 {
    let byte = !byte;
    let magnitude = (((i16::from(byte & 0x0F) << 3) + 0x84) << (byte >> 4 & 7)) - 0x84;
    f32::from(if byte & 0x80 == 0 { magnitude } else { -magnitude }) / 32768.0
}

fn a(byte: u8) -> f32 {
    let byte = byte ^ 0x55;
    let mantissa = i16::from(byte & 0x0F) << 4;
    let magnitude = match byte >> 4 & 7 {
        0 => mantissa + 8,
        exponent => (mantissa + 0x108) << (exponent - 1),
    };
    f32::from(if byte & 0x80 == 0 { -magnitude } else { magnitude }) / 32768.0
}

/// A windowed sinc, cut off at 3.7 kHz so that images of the telephone band do not come through.
#[expect(clippy::cast_precision_loss, reason = "a few small indices")]
fn filter() -> [[f32; TAPS]; FACTOR] {
    let mut phases = [[0.0f32; TAPS]; FACTOR];
    let centre = (TAPS * FACTOR) as f32 / 2.0;
    let cutoff = 3700.0 / 4000.0;
    for (phase, taps) in phases.iter_mut().enumerate() {
        for (tap, value) in taps.iter_mut().enumerate() {
            // The newest sample is the last tap; a later phase lies further behind it.
            let at = ((TAPS - 1 - tap) * FACTOR + phase) as f32 - centre;
            let x = at / FACTOR as f32;
            let sinc = if x == 0.0 {
                cutoff
            } else {
                (PI * x * cutoff).sin() / (PI * x)
            };
            let window = 0.5 + 0.5 * (PI * at / centre).cos();
            *value = sinc * window;
        }
        let sum: f32 = taps.iter().sum();
        for value in taps.iter_mut() {
            *value /= sum;
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_g711_are_met_at_their_ends() {
        assert_eq!((mu(0xFF), mu(0x7F)), (0.0, 0.0));
        assert_eq!((mu(0x80) * 32768.0, mu(0x00) * 32768.0), (32124.0, -32124.0));
        assert_eq!((a(0xD5) * 32768.0, a(0x55) * 32768.0), (8.0, -8.0));
        assert_eq!((a(0xAA) * 32768.0, a(0x2A) * 32768.0), (32256.0, -32256.0));
    }

    #[test]
    fn a_tone_of_one_kilohertz_keeps_its_level_and_gains_nothing_above_four() {
        // One period of 1 kHz at 8 kHz, mu-law, about -6 dB.
        let period = [0xFFu8, 0x96, 0x8F, 0x96, 0xFF, 0x16, 0x0F, 0x16];
        let mut decoder = Decoder::new(Law::Mu);
        let samples = decoder.decode(&period.repeat(100));
        assert_eq!(samples.len(), 4800);
        let part = |frequency: f32| {
            let (mut re, mut im) = (0.0f32, 0.0f32);
            for (n, sample) in samples.iter().skip(480).take(3840).enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
                let angle = 2.0 * PI * frequency * n as f32 / 48_000.0;
                re += sample * angle.cos();
                im += sample * angle.sin();
            }
            (re * re + im * im).sqrt() / 1920.0
        };
        let level = part(1000.0);
        assert!((0.4..0.6).contains(&level), "{level}");
        for image in [7000.0, 9000.0, 15_000.0] {
            assert!(part(image) < level / 100.0, "{image} Hz: {}", part(image));
        }
    }
}
