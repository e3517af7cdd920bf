//! When the report is written: soon, but not so often that it wears the card out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// From one report to the next, where nothing is urgent.
pub const PAUSE: Duration = Duration::from_secs(30);
/// The most reports in an hour, urgent or not.
pub const PER_HOUR: usize = 20;
/// A box that nobody tells anything reports all the same.
pub const AT_LATEST: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3600);

/// Which report is due when.
#[derive(Debug)]
pub struct Pace {
    wanted: Option<Instant>,
    written: VecDeque<Instant>,
}

impl Pace {
    /// A box that has just started.
    pub fn new(now: Instant) -> Self {
        Self {
            wanted: Some(now + AT_LATEST),
            written: VecDeque::new(),
        }
    }

    /// Something has changed.
    pub fn want(&mut self, now: Instant, is_urgent: bool) {
        let last = self.written.back();
        let at = match last {
            Some(last) if !is_urgent => now.max(*last + PAUSE),
            _ => now,
        };
        self.wanted = Some(self.wanted.map_or(at, |wanted| wanted.min(at)));
    }

    /// When the next report is due.
    pub fn deadline(&self) -> Option<Instant> {
        let wanted = self.wanted?;
        let full = self
            .written
            .len()
            .checked_sub(PER_HOUR)
            .and_then(|at| self.written.get(at));
        Some(full.map_or(wanted, |oldest| wanted.max(*oldest + HOUR)))
    }

    /// A report was written, or could not be: that wears as well.
    pub fn written(&mut self, now: Instant) {
        self.wanted = None;
        self.written.push_back(now);
        while self.written.len() > PER_HOUR {
            self.written.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_state_is_reported_at_once_and_a_fault_too() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(start);
        assert_eq!(pace.deadline(), Some(at(60)));
        pace.want(at(5), false);
        assert_eq!(pace.deadline(), Some(at(5)));
        pace.written(at(5));
        assert_eq!(pace.deadline(), None);
        pace.want(at(6), false);
        assert_eq!(pace.deadline(), Some(at(35)));
        pace.want(at(7), true);
        assert_eq!(pace.deadline(), Some(at(7)));
    }

    proptest! {
        #[test]
        fn a_box_that_flaps_does_not_wear_its_card_out(changes in prop::collection::vec((0_u64..120, any::<bool>()), 1..400)) {
            let start = Instant::now();
            let mut pace = Pace::new(start);
            let mut now = start;
            let mut written: Vec<Instant> = Vec::new();
            for (later, is_urgent) in changes {
                let next = now + Duration::from_secs(later);
                while let Some(due) = pace.deadline().filter(|due| *due <= next) {
                    now = now.max(due);
                    pace.written(now);
                    written.push(now);
                }
                now = next;
                pace.want(now, is_urgent);
                prop_assert!(pace.deadline().is_some(), "what has changed is reported some time");
            }
            for (at, from) in written.iter().enumerate() {
                let within = written.iter().skip(at).take_while(|to| **to < *from + HOUR).count();
                prop_assert!(within <= PER_HOUR);
            }
        }
    }
}
