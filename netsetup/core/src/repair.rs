//! How often something may be put right before that is a fight.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::desired::Desired;
use crate::observed::{Address, Observed};
use crate::plan::plan;
use crate::select::select;

/// So many repairs in [`WINDOW`] are one too many.
const LIMIT: usize = 6;
/// The time that is looked back on.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts repairs of what somebody else has undone.
#[derive(Debug, Default)]
pub struct Repairs {
    made: VecDeque<Instant>,
}

impl Repairs {
    /// Counts one repair; when there were too many, the time from which on another one is allowed.
    ///
    /// # Errors
    /// That time.
    pub fn allow(&mut self, now: Instant) -> Result<(), Instant> {
        while self
            .made
            .front()
            .is_some_and(|&made| now.saturating_duration_since(made) >= WINDOW)
        {
            self.made.pop_front();
        }
        match self.made.front() {
            Some(&oldest) if self.made.len() >= LIMIT => Err(oldest + WINDOW),
            _ => {
                self.made.push_back(now);
                Ok(())
            }
        }
    }
}

/// Whether what is to be done is the work of somebody who has undone ours: had they not, nothing would be left to do in
/// the world as it is now. A world whose plugs have moved is followed, not repaired.
pub fn is_needed(desired: &Desired, verified: &Observed, observed: &Observed) -> bool {
    let plugs = |observed: &Observed| -> Vec<_> {
        let links = observed.links.iter();
        links
            .map(|link| (link.index, link.carrier, link.losses))
            .collect()
    };
    if plugs(verified) != plugs(observed) || verified.manager.is_some() != observed.manager.is_some() {
        return false;
    }
    // Leases come and go by themselves; our address at the robot does not.
    let robot = select(desired, observed).robot.ok();
    let at_robot = |address: &&Address| Some(&address.interface) == robot.as_ref();
    let ours = verified.addresses.iter().filter(at_robot);
    let leased = observed.addresses.iter().filter(|address| !at_robot(address));
    let untouched = Observed {
        addresses: ours.chain(leased).cloned().collect(),
        sightings: observed.sightings.clone(),
        ..verified.clone()
    };
    plan(desired, &untouched).steps.is_empty()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_repair_in_a_minute_waits_until_the_first_is_a_minute_old() {
        let (zero, mut repairs) = (Instant::now(), Repairs::default());
        for second in 0..6 {
            assert_eq!(repairs.allow(zero + Duration::from_secs(second)), Ok(()));
        }
        let allowed = zero + WINDOW;
        assert_eq!(repairs.allow(zero + Duration::from_secs(10)), Err(allowed));
        assert_eq!(repairs.allow(allowed), Ok(()));
        assert_eq!(repairs.allow(allowed), Err(allowed + Duration::from_secs(1)));
    }
}
