//! How long to wait before the next try: 0, 1, 2, 4, 5, 5, ... seconds, for ever.

use std::time::Duration;

const STEPS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];

/// The largest share of a delay that jitter adds, in percent.
const JITTER_PERCENT: u32 = 20;

/// Counts the failed tries of one kind of work.
///
/// A robot comes back when its operator has walked around it, and a stream that is away for more than about 90 s
/// is over for its viewers, so the delays stay short and never end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    failures: usize,
    dice: u32,
}

impl Backoff {
    /// No pause is longer than this.
    pub const LONGEST: Duration = Duration::from_secs(6);

    /// `seed` differs from box to box, so that a whole lab does not retry in step.
    pub const fn new(seed: u32) -> Self {
        Self {
            failures: 0,
            dice: seed | 1,
        }
    }

    /// The delay before the next try, with a jitter of up to a fifth of it.
    pub fn fail(&mut self) -> Duration {
        let step = STEPS
            .get(self.failures)
            .or(STEPS.last())
            .copied()
            .unwrap_or(Duration::ZERO);
        self.failures = self.failures.saturating_add(1);
        // xorshift32 (Marsaglia 2003): any scatter will do here.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        step + step * (self.dice % (JITTER_PERCENT + 1)) / 100
    }

    /// Forgets the failures: something works, or the world has changed.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many tries have failed in a row.
    pub fn failures(&self) -> usize {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_0_1_2_4_5_5_seconds_and_start_again_after_a_reset() {
        for seed in 0..1000 {
            let mut backoff = Backoff::new(seed);
            for nominal in [0, 1, 2, 4, 5, 5, 5] {
                let nominal = Duration::from_secs(nominal);
                assert!((nominal..=nominal * 6 / 5).contains(&backoff.fail()));
            }
            backoff.reset();
            assert_eq!(backoff.fail(), Duration::ZERO);
        }
    }

    #[test]
    fn two_boxes_do_not_retry_in_step() {
        let delays = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..10).map(|_| backoff.fail()).collect::<Vec<_>>()
        };
        assert_ne!(delays(2), delays(4));
    }
}
