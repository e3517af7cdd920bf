//! The pause after a wrong password, of each address by itself: nobody is kept out by another one's guesses. Pure.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The pause after the first wrong password; it doubles with each.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest one: whoever guesses gets 1440 tries a day, and whoever mistypes is not locked out.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long wrong passwords are remembered.
pub(super) const MEMORY: Duration = Duration::from_secs(15 * 60);
/// How many addresses are told apart. All others pause as one, so that whoever has many guesses no more than once a
/// minute for each of these.
const ADDRESSES: usize = 32;

/// Who has guessed wrong, and when.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    known: Vec<(IpAddr, Wrong)>,
    others: Wrong,
}

#[derive(Debug, Default)]
struct Wrong {
    count: u32,
    last: Option<Instant>,
}

impl Pauses {
    /// How long an address has to wait.
    pub(super) fn left(&mut self, now: Instant, from: IpAddr) -> Option<Duration> {
        self.known.retain(|(_, wrong)| wrong.is_remembered(now));
        self.find(from)?.left(now)
    }

    /// An address has given a wrong password.
    pub(super) fn wrong(&mut self, now: Instant, from: IpAddr) {
        match self.find(from) {
            Some(wrong) => wrong.add(now),
            None => {
                let mut wrong = Wrong::default();
                wrong.add(now);
                self.known.push((from.to_canonical(), wrong));
            }
        }
    }

    /// An address has given the right one.
    pub(super) fn right(&mut self, from: IpAddr) {
        self.known.retain(|(known, _)| *known != from.to_canonical());
    }

    fn find(&mut self, from: IpAddr) -> Option<&mut Wrong> {
        let is_full = self.known.len() >= ADDRESSES;
        let known = self
            .known
            .iter_mut()
            .find(|(known, _)| *known == from.to_canonical());
        known
            .map(|(_, wrong)| wrong)
            .or_else(|| is_full.then_some(&mut self.others))
    }
}

impl Wrong {
    fn is_remembered(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < MEMORY)
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.last?);
        let doubled = 2_u32.saturating_pow(self.count.saturating_sub(1));
        let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        pause.checked_sub(since).filter(|left| !left.is_zero())
    }

    fn add(&mut self, now: Instant) {
        if !self.is_remembered(now) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn one_who_guesses_keeps_nobody_else_out() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for _ in 0..9 {
            pauses.wrong(now, address(1));
        }
        assert_eq!(pauses.left(now, address(1)), Some(LONGEST_PAUSE));
        assert_eq!(pauses.left(now, address(2)), None);
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        assert_eq!(
            pauses.left(now, IpAddr::V6(mapped)),
            Some(LONGEST_PAUSE),
            "the same one"
        );
        pauses.right(address(1));
        assert_eq!(pauses.left(now, address(1)), None);
    }

    #[test]
    fn whoever_has_many_addresses_pauses_as_one_in_the_end() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        let mut guesses = 0;
        for from in 0..=255 {
            if pauses.left(now, address(from)).is_none() {
                guesses += 1;
                pauses.wrong(now, address(from));
            }
        }
        assert_eq!(guesses, ADDRESSES + 1);
        assert_eq!(pauses.known.len(), ADDRESSES);
        assert_eq!(pauses.left(now + MEMORY, address(255)), None);
        assert!(pauses.known.is_empty(), "old ones make room");
    }
}
