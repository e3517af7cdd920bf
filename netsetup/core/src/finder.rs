//! Whom to ask on the robot's cable, how often, and what the silence means.
//!
//! A try is one ARP probe (RFC 5227 section 2.1.1) to each robot of both layouts and to each address that we could
//! take there, so that finding the robot and finding out which addresses are free is one and the same question.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::Deadline;
use crate::desired::Desired;
use crate::layout::Layout;
use crate::names::{InterfaceName, MacAddress};
use crate::observed::{Link, Sightings};

/// How long answers to one try are waited for.
const TRY: Duration = Duration::from_millis(200);
/// An address that did not answer so many tries is free.
const TRIES_FOR_FREE: u32 = 2;
/// A robot that did not answer so many tries is not there now.
const TRIES_FOR_ABSENT: u32 = 5;
/// The pause between tries after that.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between tries when nobody has answered for [`LONG`].
const MORE_PATIENCE: Duration = Duration::from_secs(2);
/// A robot takes a minute or two to start.
const LONG: Duration = Duration::from_secs(180);
/// So long nobody answers before DHCP is worth a try.
const SILENCE: Duration = Duration::from_secs(20);

/// Asks who is there, from the moment the cable is plugged in until a robot has answered.
#[derive(Debug)]
pub struct Finder {
    addresses: Vec<Ipv4Addr>,
    /// Whose answer is a robot's.
    landmarks: BTreeSet<Ipv4Addr>,
    link: Option<InterfaceName>,
    losses: u32,
    sightings: Sightings,
    /// The answers to the tries of this round.
    answers: Sightings,
    round: Option<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    since: Instant,
    tries: u32,
    next: Instant,
}

impl Finder {
    /// Asks for both layouts, for the addresses that a person has given the robot there, and for the address that a
    /// person has chosen for us.
    pub fn new(desired: &Desired) -> Self {
        Self {
            addresses: Self::addresses(desired),
            landmarks: landmarks(desired),
            link: None,
            losses: 0,
            sightings: Sightings::default(),
            answers: Sightings::default(),
            round: None,
        }
    }

    /// Whom to ask.
    pub fn addresses(desired: &Desired) -> Vec<Ipv4Addr> {
        let candidates = Layout::ALL.into_iter().flat_map(Layout::candidates);
        let addresses = landmarks(desired).into_iter().chain(candidates);
        let addresses: BTreeSet<_> = addresses.chain(desired.own_address).collect();
        addresses.into_iter().collect()
    }

    /// The robot's interface, if it has a carrier now. A cable that was just plugged in is asked anew, also one that
    /// was away for so short a time that only the count of losses tells.
    pub fn link(&mut self, now: Instant, link: Option<&Link>) {
        let name = link.map(|link| &link.name);
        let losses = link.map_or(self.losses, |link| link.losses);
        if self.link.as_ref() == name && self.losses == losses {
            return;
        }
        self.losses = losses;
        self.link = name.cloned();
        self.sightings = Sightings::default();
        self.round = None;
        if self.link.is_some() {
            self.begin(now);
        }
    }

    /// A host does not answer any more. If it was a robot, somebody may have plugged us in elsewhere.
    pub fn lost(&mut self, now: Instant, interface: &InterfaceName, host: Ipv4Addr) {
        let was_robot = self.sightings.answers.contains_key(&host) && self.landmarks.contains(&host);
        if was_robot && self.link.as_ref() == Some(interface) && self.round.is_none() {
            self.begin(now);
        }
    }

    /// Somebody has answered.
    pub fn answer(&mut self, now: Instant, host: Ipv4Addr, mac: MacAddress) {
        let Some(round) = &mut self.round else { return };
        self.answers.answers.insert(host, mac);
        if self.landmarks.contains(&host) {
            round.next = round.next.min(now + TRY);
        }
    }

    /// Whom to ask now, if the time for it has come; nobody any more when [`Finder::is_asking`] says so.
    pub fn wake(&mut self, now: Instant) -> Option<(&InterfaceName, &[Ipv4Addr])> {
        let round = self.round.as_mut().filter(|round| round.next <= now)?;
        let found = self
            .answers
            .answers
            .keys()
            .any(|host| self.landmarks.contains(host));
        if found && round.tries >= TRIES_FOR_FREE {
            self.answers.complete = true;
            self.sightings = std::mem::take(&mut self.answers);
            self.round = None;
            return None;
        }
        if !found && round.tries >= TRIES_FOR_ABSENT {
            // Until a robot answers, only what is known to be taken is worth keeping.
            self.sightings = Sightings {
                complete: true,
                silent: now.saturating_duration_since(round.since) >= SILENCE,
                answers: self.answers.answers.clone(),
            };
        }
        round.tries += 1;
        round.next = now
            + match now.saturating_duration_since(round.since) {
                _ if round.tries <= TRIES_FOR_ABSENT => TRY,
                since if since < LONG => PATIENCE,
                _ => MORE_PATIENCE,
            };
        self.link.as_ref().map(|link| (link, self.addresses.as_slice()))
    }

    /// Whether answers are waited for.
    pub fn is_asking(&self) -> bool {
        self.round.is_some()
    }

    /// Who has answered.
    pub fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// When to call [`Finder::wake`].
    pub fn deadline(&self) -> Deadline {
        self.round
            .map(|round| (round.next, "ask who is on the robot's cable"))
    }

    fn begin(&mut self, now: Instant) {
        self.answers = Sightings::default();
        self.round = Some(Round {
            since: now,
            tries: 0,
            next: now,
        });
    }
}

fn landmarks(desired: &Desired) -> BTreeSet<Ipv4Addr> {
    let known = Layout::ALL
        .into_iter()
        .flat_map(|layout| layout.landmarks().iter().copied());
    let given = desired.robot_hosts.iter().copied();
    let is_there = |host: &Ipv4Addr| Layout::ALL.iter().any(|layout| layout.network().contains(host));
    known.chain(given.filter(is_there)).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;
    use crate::desired::Ingest;
    use crate::observed::LinkConf;

    const ROBOT: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 3);
    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 3]);

    fn desired() -> Desired {
        Desired {
            robot_interface: None,
            uplink_interface: None,
            layout: None,
            own_address: None,
            robot_hosts: BTreeSet::new(),
            wifi: Vec::new(),
            country: None,
            apn: None,
            open: BTreeSet::new(),
            ingest: Ingest {
                host: String::new(),
                port: 443,
                tls: true,
                extra_ca: None,
            },
        }
    }

    fn name() -> InterfaceName {
        InterfaceName::parse("eth0").unwrap()
    }

    fn cable(losses: u32) -> Link {
        Link {
            index: 2,
            name: name(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            permanent_mac: None,
            bus: None,
            up: true,
            carrier: true,
            losses,
            conf: LinkConf::default(),
        }
    }

    /// Lets time pass, with a robot that answers each try from `appears` on; gives the number of tries.
    fn play(finder: &mut Finder, zero: Instant, until: Duration, appears: Duration) -> u32 {
        let mut tries = 0;
        while let Some((at, _)) = finder.deadline().filter(|&(at, _)| at <= zero + until) {
            if finder.wake(at).is_some() {
                tries += 1;
                if at >= zero + appears {
                    finder.answer(at, ROBOT, MAC);
                }
            }
        }
        tries
    }

    #[test]
    fn a_robot_that_answers_is_found_when_two_tries_have_shown_which_addresses_are_free() {
        let (zero, mut finder) = (Instant::now(), Finder::new(&desired()));
        finder.link(zero, Some(&cable(1)));
        assert_eq!(play(&mut finder, zero, 2 * TRY, Duration::ZERO), 2);
        assert!(finder.sightings().complete && finder.sightings().answers.contains_key(&ROBOT));
        assert_eq!(finder.deadline(), None);
    }

    #[test]
    fn who_was_found_is_not_asked_again_until_the_cable_is_pulled_or_the_robot_is_lost() {
        let (zero, mut finder) = (Instant::now(), Finder::new(&desired()));
        finder.link(zero, Some(&cable(1)));
        play(&mut finder, zero, 2 * TRY, Duration::ZERO);
        finder.link(zero, Some(&cable(1)));
        finder.lost(zero, &name(), Ipv4Addr::new(192, 168, 50, 77));
        assert_eq!(finder.deadline(), None);
        finder.lost(zero, &name(), ROBOT);
        assert!(finder.is_asking() && finder.sightings().answers.contains_key(&ROBOT));
        finder.link(zero, None);
        assert!(!finder.is_asking() && finder.sightings().answers.is_empty());
    }

    #[test]
    fn a_cable_that_was_away_for_a_moment_is_asked_anew() {
        let (zero, mut finder) = (Instant::now(), Finder::new(&desired()));
        finder.link(zero, Some(&cable(1)));
        play(&mut finder, zero, 2 * TRY, Duration::ZERO);
        finder.link(zero, Some(&cable(2)));
        assert!(finder.is_asking() && finder.sightings().answers.is_empty());
    }

    #[test]
    fn a_robot_that_starts_late_is_found_and_one_that_never_comes_is_asked_once_a_second() {
        let (zero, mut finder) = (Instant::now(), Finder::new(&desired()));
        finder.link(zero, Some(&cable(1)));
        let tries = play(
            &mut finder,
            zero,
            Duration::from_secs(60),
            Duration::from_secs(90),
        );
        assert!((55..=66).contains(&tries), "{tries}");
        assert!(finder.sightings().silent && finder.sightings().complete);
        play(
            &mut finder,
            zero,
            Duration::from_secs(100),
            Duration::from_secs(90),
        );
        assert!(!finder.sightings().silent && finder.sightings().answers.contains_key(&ROBOT));
    }

    #[test]
    fn a_lost_robot_that_does_not_come_back_leaves_no_answer_behind() {
        let (zero, mut finder) = (Instant::now(), Finder::new(&desired()));
        finder.link(zero, Some(&cable(1)));
        play(&mut finder, zero, 2 * TRY, Duration::ZERO);
        finder.lost(zero, &name(), ROBOT);
        play(&mut finder, zero, Duration::from_secs(3), Duration::from_secs(90));
        assert!(finder.sightings().answers.is_empty() && !finder.sightings().silent);
    }
}
