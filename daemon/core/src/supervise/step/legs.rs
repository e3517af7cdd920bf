//! What the conductor remembers of each side.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::supervise::network::{Footing, Way};
use crate::supervise::state::Problem;

/// A side: its failures, and what its connection stands on.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) backoff: Backoff,
    /// The network has changed while an attempt was under way, which may have been in vain.
    pub(super) changed: bool,
    /// A pause that the other side has asked for, and why: no news of the network cuts it short.
    pub(super) pause: Option<(Instant, Problem)>,
    /// What the connection was opened on, as far as is known.
    pub(super) footing: Option<Footing>,
    /// Whether the network has been away since.
    pub(super) away: bool,
    /// The network is back: the connection is given up then, unless something is heard on it.
    pub(super) trial: Option<Instant>,
}

impl Leg {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            backoff: Backoff::new(seed),
            changed: false,
            pause: None,
            footing: None,
            away: false,
            trial: None,
        }
    }

    /// A person wants it tried: what was before does not count.
    pub(super) fn start(&mut self) {
        self.backoff.reset();
        (self.changed, self.pause) = (false, None);
    }

    /// An attempt has failed; gives the time of the next.
    pub(super) fn fail(&mut self, now: Instant, at_least: Duration, problem: &Problem) -> Instant {
        if std::mem::take(&mut self.changed) {
            self.backoff.reset();
        }
        let at = now + self.backoff.fail().max(at_least);
        self.pause = (at_least > Backoff::LONGEST).then(|| (at, problem.clone()));
        at
    }

    /// A connection is opened.
    pub(super) fn stand_on(&mut self, way: &Way) {
        self.footing = way.footing().cloned();
        (self.away, self.trial) = (false, None);
    }

    /// The pause that has to be waited out.
    pub(super) fn pause_at(&self, now: Instant) -> Option<(Instant, Problem)> {
        self.pause.clone().filter(|(at, _)| *at > now)
    }
}
