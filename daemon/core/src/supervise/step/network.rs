//! What follows from news of the networks.

use std::time::{Duration, Instant};

use super::Supervisor;
use crate::supervise::network::{Footing, Networks, Way};
use crate::supervise::state::{Command, Problem, Reach, Side, State};

/// A connection whose network was away and is back must be heard of within this time. A camera that still sends is
/// heard 30 times a second; TCP that has given up for a while keeps silent much longer than a new connection takes.
const TRIAL: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Something has changed, nobody knows what: whatever waits is tried now, and what is being tried may have begun
    /// too early.
    pub(super) fn network_changed(&mut self, now: Instant) {
        if self.retry.is_some() {
            self.retry_at_once(now);
        } else {
            (self.robot.changed, self.uplink.changed) = (true, true);
        }
    }

    pub(super) fn networks_are(&mut self, now: Instant, networks: Networks) {
        let before = std::mem::replace(&mut self.networks, networks);
        self.robot_side(now, &before.robot);
        self.uplink_side(now, &before);
    }

    /// There is no way to the robot, and netsetup tells when there is.
    pub(super) fn rest(&mut self, missing: Problem) {
        self.retry = None;
        self.robot.trial = None;
        self.commands.push_back(Command::Rest);
        self.state = State::WaitingForNetwork(Side::Robot, missing);
    }

    /// Ends what stands and begins with the login: all connections to the robot may be dead.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.end_session(now);
        self.try_robot(now);
    }

    fn robot_side(&mut self, now: Instant, before: &Way) {
        match (self.networks.robot.clone(), self.state.reach()) {
            (_, Reach::Nothing) | (Way::Unknown, Reach::Standing) => {}
            // What stands is not torn down: a cable that is back in a second has cost a second.
            (Way::Missing(_), Reach::Standing) => {
                self.robot.away = true;
                self.robot.trial = None;
            }
            (Way::Ready(footing), Reach::Standing) => self.question_session(now, footing),
            (Way::Missing(missing), reach @ (Reach::Robot | Reach::Camera | Reach::Session)) => {
                if reach == Reach::Session {
                    self.commands.push_back(Command::CloseSession);
                }
                if before.missing().is_some() {
                    self.state = State::WaitingForNetwork(Side::Robot, missing);
                } else {
                    self.rest(missing);
                }
            }
            (
                way @ (Way::Unknown | Way::Ready(_)),
                reach @ (Reach::Robot | Reach::Camera | Reach::Session),
            ) => match before {
                Way::Missing(_) => self.try_robot(now),
                Way::Ready(old) if way.footing().is_some_and(|new| new != old) => {
                    if reach == Reach::Session {
                        self.commands.push_back(Command::CloseSession);
                    }
                    self.try_robot(now);
                }
                Way::Unknown if way.footing().is_some() => self.network_changed(now),
                Way::Unknown | Way::Ready(_) => {}
            },
        }
    }

    /// The robot's network is ready while a session stands.
    fn question_session(&mut self, now: Instant, footing: Footing) {
        if self.robot.footing.as_ref().is_some_and(|old| *old != footing) {
            return self.begin_anew(now);
        }
        self.robot.footing = Some(footing);
        let was_away = std::mem::take(&mut self.robot.away);
        // A camera that has shown nothing yet, or nothing for a while, has its own time limit.
        if was_away && self.state.is_on_air() && !self.shortfalls.no_picture {
            self.robot.backoff.reset();
            self.robot.trial = Some(now + TRIAL);
            self.commands.push_back(Command::Listen(Side::Robot));
        }
    }

    fn try_robot(&mut self, now: Instant) {
        self.robot.backoff.reset();
        self.robot.changed = false;
        if let Some((at, problem)) = self.robot.pause_at(now) {
            self.retry = Some((at, Command::LogIn));
            self.state = State::WaitingForRobot(Some(problem));
        } else {
            self.retry = None;
            self.state = State::WaitingForRobot(None);
            self.push(Command::LogIn);
        }
    }

    fn uplink_side(&mut self, now: Instant, before: &Networks) {
        if self.state.reach() != Reach::Standing {
            return;
        }
        let way = self.networks.uplink.clone();
        let moved = |old: Option<&Footing>| old.zip(way.footing()).is_some_and(|(old, new)| old != new);
        match (&way, self.state.is_on_air()) {
            (Way::Missing(_), true) => {
                self.uplink.away = true;
                self.uplink.trial = None;
            }
            (Way::Missing(missing), false) => {
                if matches!(self.state, State::Connecting(..)) {
                    self.commands.push_back(Command::CloseIngest);
                }
                self.retry = None;
                self.state = State::WaitingForNetwork(Side::Uplink, missing.clone());
            }
            // Another address does not end what still flows by the old one.
            (Way::Ready(footing), true) => {
                let moved = moved(self.uplink.footing.as_ref());
                self.uplink.footing = Some(footing.clone());
                if std::mem::take(&mut self.uplink.away) || moved {
                    self.uplink.backoff.reset();
                    self.uplink.trial = Some(now + TRIAL);
                    self.commands.push_back(Command::Listen(Side::Uplink));
                }
            }
            (Way::Unknown, true) => {}
            (Way::Unknown | Way::Ready(_), false) => match &before.uplink {
                Way::Missing(_) => self.try_uplink(now),
                Way::Ready(old) if moved(Some(old)) => self.try_uplink(now),
                Way::Unknown if way.footing().is_some() => self.network_changed(now),
                Way::Unknown | Way::Ready(_) => self.internet_is(now, before.internet.as_ref()),
            },
        }
    }

    fn try_uplink(&mut self, now: Instant) {
        self.uplink.backoff.reset();
        self.open_ingest(now);
    }

    /// Not on air, though there is a way out.
    fn internet_is(&mut self, now: Instant, before: Option<&Problem>) {
        match self.networks.internet.clone() {
            Some(reason) => {
                if matches!(self.state, State::WaitingForNetwork(Side::Uplink, _)) {
                    self.state = State::WaitingForNetwork(Side::Uplink, reason);
                }
            }
            None if before.is_some() => self.network_changed(now),
            None => {}
        }
    }

    fn retry_at_once(&mut self, now: Instant) {
        let Some((_, command)) = self.retry else { return };
        let side = match command {
            Command::OpenIngest => Side::Uplink,
            Command::LogIn
            | Command::Rest
            | Command::Listen(_)
            | Command::PrepareCamera
            | Command::OpenSession
            | Command::RequestKeyFrame
            | Command::CloseSession
            | Command::CloseIngest
            | Command::RestoreCamera => Side::Robot,
        };
        // A lock-out or another pause that a server asked for is kept.
        if self.leg(side).pause_at(now).is_none() {
            self.robot.backoff.reset();
            self.uplink.backoff.reset();
            self.retry = Some((now, command));
            self.wake(now);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests;
