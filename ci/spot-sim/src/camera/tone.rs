//! The sound: 1 kHz in the first 200 ms of every second of camera time, silence otherwise.

/// How long the tone sounds in each second, in ms. The picture's mark is white for the same time.
pub(crate) const TONE_MS: u64 = 200;

/// One millisecond of the tone at 48 kHz, at a quarter of full scale: a 1 kHz sine has 48 samples a period.
fn period(rate: u32) -> Vec<i16> {
    let samples = rate / 1000;
    (0..samples)
        .map(|index| {
            let angle = f64::from(index) / f64::from(samples) * std::f64::consts::TAU;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a quarter of full scale always fits"
            )]
            let sample = (angle.sin() * 8192.0) as i16;
            sample
        })
        .collect()
}

/// Makes the sound of any span of camera time.
#[derive(Debug)]
pub(crate) struct Tone {
    period: Vec<i16>,
    channels: usize,
}

impl Tone {
    /// `rate` in Hz, a multiple of 1000.
    pub(crate) fn new(rate: u32, channels: usize) -> Self {
        Self {
            period: period(rate),
            channels,
        }
    }

    /// Interleaved little-endian samples from `start_ms` of camera time on.
    pub(crate) fn samples(&self, start_ms: u64, length_ms: u64) -> Vec<u8> {
        (start_ms..start_ms + length_ms)
            .flat_map(|ms| {
                let sounds = ms % 1000 < TONE_MS;
                self.period
                    .iter()
                    .map(move |sample| if sounds { *sample } else { 0 })
            })
            .flat_map(|sample| std::iter::repeat_n(sample, self.channels))
            .flat_map(i16::to_le_bytes)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_starts_on_the_second_and_ends_200_ms_later() {
        let tone = Tone::new(48_000, 2);
        let loud = |ms| tone.samples(ms, 1).iter().any(|byte| *byte != 0);
        assert!(!loud(999));
        assert!(loud(1000));
        assert!(loud(1199));
        assert!(!loud(1200));
        assert_eq!(tone.samples(0, 20).len(), 20 * 48 * 2 * 2);
    }
}
