//! Which WiFi network to try again, and when: NetworkManager gives up a profile whose password was not accepted until
//! somebody activates it, but a handshake that bad radio has cut off looks the same to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::Deadline;
use crate::names::InterfaceName;
use crate::profile::{Kind, Profile, Security};

/// How long NetworkManager is left alone with a device that it does nothing with.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// The pause between two attempts where somebody counts them: a directory locks an account after some ten wrong
/// passwords in a quarter of an hour.
const TRY_ACCOUNT_AGAIN: Duration = Duration::from_secs(300);

/// A WiFi device that is not in use, and what it could be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// The device.
    pub device: InterfaceName,
    /// Networks in reach whose profiles are stored, the best first.
    pub networks: Vec<Network>,
}

/// A network that can be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    profile: Uuid,
    pause: Duration,
}

impl Network {
    /// None where the profile is not of a WiFi network.
    pub fn of(profile: &Profile) -> Option<Self> {
        let Kind::Wifi(wifi) = &profile.kind else {
            return None;
        };
        let pause = match wifi.security {
            Security::Enterprise(_) => TRY_ACCOUNT_AGAIN,
            Security::Open | Security::Wpa2 { .. } | Security::Wpa3 { .. } => TRY_AGAIN,
        };
        Some(Self {
            profile: profile.uuid(),
            pause,
        })
    }
}

/// The attempts so far.
#[derive(Debug, Default)]
pub struct Again {
    idle: Option<(Instant, Idle)>,
    tried: BTreeMap<Uuid, Instant>,
}

impl Again {
    /// Takes what was seen; none where there is nothing to be tried or NetworkManager is at it.
    pub fn follow(&mut self, now: Instant, idle: Option<Idle>) {
        let since = |(since, before): (Instant, Idle), device: &InterfaceName| {
            (before.device == *device).then_some(since)
        };
        let before = self.idle.take();
        self.idle = idle.map(|idle| {
            let since = before.and_then(|before| since(before, &idle.device));
            (since.unwrap_or(now), idle)
        });
    }

    /// The profile to be activated on this device, if the time for it has come.
    pub fn wake(&mut self, now: Instant) -> Option<(Uuid, InterfaceName)> {
        let (_, profile) = self.next().filter(|&(due, _)| due <= now)?;
        let (since, idle) = self.idle.as_mut()?;
        *since = now;
        self.tried.insert(profile, now);
        Some((profile, idle.device.clone()))
    }

    /// When to call [`Again::wake`].
    pub fn deadline(&self) -> Deadline {
        self.next().map(|(due, _)| (due, "try a WiFi network again"))
    }

    /// Of networks that are due at the same time, the one that has waited longest, then the best.
    fn next(&self) -> Option<(Instant, Uuid)> {
        let (since, idle) = self.idle.as_ref()?;
        let due = |network: &Network| {
            let tried = self.tried.get(&network.profile);
            let due = *since + TRY_AGAIN;
            let due = tried.map_or(due, |&tried| due.max(tried + network.pause));
            (due, tried.copied(), network.profile)
        };
        let networks = idle.networks.iter().map(due);
        networks
            .min_by_key(|&(due, tried, _)| (due, tried))
            .map(|(due, _, profile)| (due, profile))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOME: Uuid = Uuid::from_u128(1);
    const CAFE: Uuid = Uuid::from_u128(2);
    const EDUROAM: Uuid = Uuid::from_u128(3);

    fn idle(profiles: &[Uuid]) -> Option<Idle> {
        let network = |&profile: &Uuid| Network {
            profile,
            pause: if profile == EDUROAM {
                TRY_ACCOUNT_AGAIN
            } else {
                TRY_AGAIN
            },
        };
        Some(Idle {
            device: InterfaceName::parse("wlan1").unwrap(),
            networks: profiles.iter().map(network).collect(),
        })
    }

    /// What is tried in so many seconds, and when, if each attempt takes five.
    fn tried(profiles: &[Uuid], seconds: u32) -> Vec<(u64, Uuid)> {
        let (zero, mut again, mut tried) = (Instant::now(), Again::default(), Vec::new());
        again.follow(zero, idle(profiles));
        let mut busy_until = zero;
        for now in (0..seconds).map(|second| zero + second * SECOND) {
            if now == busy_until {
                again.follow(now, idle(profiles));
            }
            if let Some((profile, _)) = again.wake(now) {
                tried.push(((now - zero).as_secs(), profile));
                again.follow(now, None);
                assert_eq!(again.deadline(), None);
                busy_until = now + 5 * SECOND;
            }
        }
        tried
    }

    #[test]
    fn one_network_is_tried_again_after_each_failure() {
        assert_eq!(tried(&[HOME], 101), [(30, HOME), (65, HOME), (100, HOME)]);
    }

    #[test]
    fn several_networks_take_turns_and_the_best_begins() {
        let expected = [(30, CAFE), (65, HOME), (100, CAFE), (135, HOME)];
        assert_eq!(tried(&[CAFE, HOME], 136), expected);
    }

    #[test]
    fn an_account_is_not_locked_and_holds_up_no_other_network() {
        assert_eq!(
            tried(&[EDUROAM], 631),
            [(30, EDUROAM), (330, EDUROAM), (630, EDUROAM)]
        );
        let both = tried(&[EDUROAM, HOME], 631);
        let at = |which: Uuid| both.iter().filter(move |(_, it)| *it == which).count();
        assert_eq!((at(EDUROAM), at(HOME)), (2, 16), "{both:?}");
    }

    #[test]
    fn a_look_that_sees_the_same_or_another_network_delays_nothing() {
        let (zero, mut again) = (Instant::now(), Again::default());
        again.follow(zero, idle(&[HOME]));
        again.follow(zero + 20 * SECOND, idle(&[HOME, CAFE]));
        assert_eq!(again.deadline().map(|(at, _)| at), Some(zero + TRY_AGAIN));
    }
}
