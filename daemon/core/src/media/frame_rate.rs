//! Pictures per second, measured from RTP timestamps.

use std::collections::VecDeque;

use super::timeline::VIDEO_RATE;
use crate::units::FrameRate;

/// Intervals that are looked at: about two seconds of video.
const WINDOW: usize = 48;
/// As few are enough for a first answer.
const ENOUGH: usize = 15;

/// Looks at the intervals between pictures that follow each other without a loss.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<i64>,
    intervals: VecDeque<i64>,
    told: Option<FrameRate>,
}

impl Meter {
    /// The next picture does not follow the last one.
    pub(super) fn lose(&mut self) {
        self.last = None;
    }

    /// Takes the time of a picture in 90 kHz ticks; true when the rate is known for the first time or has changed
    /// by more than a tenth.
    pub(super) fn picture(&mut self, ticks: i64) -> bool {
        let last = self.last.replace(ticks);
        let Some(interval) = last.map(|last| ticks - last).filter(|interval| *interval > 0) else {
            return false;
        };
        self.intervals.push_back(interval);
        if self.intervals.len() > WINDOW {
            self.intervals.pop_front();
        }
        if self.intervals.len() < ENOUGH {
            return false;
        }
        let Some(rate) = self.measure() else { return false };
        let changed = self.told.is_none_or(|told| {
            rate.as_millihertz().abs_diff(told.as_millihertz()) > told.as_millihertz() / 10
        });
        if changed {
            self.told = Some(rate);
        }
        changed
    }

    /// The rate as last told.
    pub(super) fn rate(&self) -> Option<FrameRate> {
        self.told
    }

    /// The mean of the intervals near the median: jitter averages out, skipped pictures do not count.
    fn measure(&self) -> Option<FrameRate> {
        let mut sorted: Vec<i64> = self.intervals.iter().copied().collect();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len() / 2)?;
        let near = sorted
            .iter()
            .filter(|interval| (**interval - median).abs() * 2 < median);
        let (sum, count) = near.fold((0, 0), |(sum, count), interval| (sum + interval, count + 1));
        let millihertz = i64::from(VIDEO_RATE) * 1000 * count;
        let rounded = (millihertz + sum / 2).checked_div(sum)?;
        u32::try_from(rounded)
            .ok()
            .filter(|rate| *rate > 0)
            .map(FrameRate::millihertz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ticks: impl IntoIterator<Item = i64>) -> Vec<u32> {
        let mut meter = Meter::default();
        let mut told = Vec::new();
        for ticks in ticks {
            if meter.picture(ticks) {
                told.push(meter.rate().unwrap().as_millihertz());
            }
        }
        told
    }

    #[test]
    fn timestamps_of_whole_milliseconds_still_make_thirty() {
        assert_eq!(told((0..60).map(|n| (n * 1000 / 30) * 90)), [30_000]);
    }

    #[test]
    fn skipped_pictures_do_not_lower_the_rate() {
        assert_eq!(told((0..100).filter(|n| n % 4 != 3).map(|n| n * 3000)), [30_000]);
    }

    #[test]
    fn a_camera_that_halves_its_rate_in_the_dark_is_noticed() {
        let bright = (0..60).map(|n| n * 3000);
        let dark = (0..60).map(|n| 180_000 + n * 6000);
        assert_eq!(told(bright.chain(dark)).last(), Some(&15_000));
    }
}
