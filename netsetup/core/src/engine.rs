//! When to look, to ask on the robot's cable, to apply and to check: the machine that the run loop serves.

mod contract;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use spotstream_core::backoff::Backoff;

pub use contract::{Failure, Input, Output};

use crate::Deadline;
use crate::again::Again;
use crate::desired::Desired;
use crate::finder::Finder;
use crate::internet::Asked;
pub use crate::internet::{Lease, Question, Verdict};
use crate::names::InterfaceName;
use crate::observed::{Device, Observed, Sightings};
use crate::plan::{Plan, Step, plan};
use crate::profile::Profile;
use crate::repair::{self, Repairs};
use crate::select::{link, select};
use crate::status::{Reason, Status};

/// The pause between two looks, so that a storm of changes is not a storm of looks.
const GAP: Duration = Duration::from_millis(50);
/// How long NetworkManager is taken for absent before it is looked for again: its coming is told, but one that was only
/// too busy to answer is not.
const ABSENCE: Duration = Duration::from_secs(2);
/// How long the robot's side may take to come up before what NetworkManager did is undone.
const COMING_UP: Duration = Duration::from_secs(15);

/// The machine.
#[derive(Debug)]
pub struct Engine {
    desired: Desired,
    finder: Finder,
    repairs: Repairs,
    backoff: Backoff,
    outputs: VecDeque<Output>,
    work: Work,
    /// When to look next.
    look: Option<Instant>,
    looked: Option<Instant>,
    /// When to look for a NetworkManager that did not answer.
    absent: Option<Instant>,
    on_probation: Option<Probation>,
    /// What there was when nothing was left to be done.
    verified: Option<Observed>,
    /// What was done last, and to which world.
    applied: Option<(Vec<Step>, World)>,
    failure: Option<Failure>,
    /// After a failure nothing is done before this time, unless a cable or a stick comes or goes.
    hold: Option<Instant>,
    links: Vec<Carrier>,
    country_is_told: bool,
    internet: Asked,
    again: Again,
    /// What is wrong with the settings.
    complaint: Option<Reason>,
    /// What the last plan said.
    planned: Status,
    told: Option<Status>,
}

/// What the run loop is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Nothing,
    Looking,
    Applying,
}

/// What NetworkManager was told and can still undo, and until when it must have shown what it is good for.
#[derive(Debug)]
struct Probation {
    tried: Vec<Step>,
    is_robots: bool,
    until: Instant,
}

/// An interface, and what its plug does.
type Carrier = (u32, InterfaceName, bool, u32);

/// What netsetup follows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    links: Vec<Carrier>,
    devices: Vec<Device>,
    sightings: Sightings,
}

impl Engine {
    /// Begins with a look at everything; `seed` scatters the retries.
    pub fn new(now: Instant, desired: Desired, seed: u32) -> Self {
        Self {
            finder: Finder::new(&desired),
            desired,
            repairs: Repairs::default(),
            backoff: Backoff::new(seed),
            outputs: VecDeque::new(),
            work: Work::Nothing,
            look: Some(now),
            looked: None,
            absent: None,
            on_probation: None,
            verified: None,
            applied: None,
            failure: None,
            hold: None,
            links: Vec::new(),
            country_is_told: false,
            internet: Asked::default(),
            again: Again::default(),
            complaint: None,
            planned: Status::default(),
            told: None,
        }
    }

    /// Wants something else from now on.
    pub fn desire(&mut self, desired: Desired) {
        if Finder::addresses(&desired) != Finder::addresses(&self.desired) {
            self.finder = Finder::new(&desired);
        }
        self.desired = desired;
    }

    /// Tells this too, until it is told otherwise.
    pub fn complain(&mut self, complaint: Option<Reason>) {
        self.complaint = complaint;
    }

    /// Takes what has happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Observed(observed) => self.observed(now, *observed),
            Input::Unobserved(failure) => {
                self.work = Work::Nothing;
                self.fail(now, failure);
            }
            Input::Changed => self.look_soon(now),
            Input::NeighbourFailed(interface, host) => self.finder.lost(now, &interface, host),
            Input::Answer(host, mac) => self.finder.answer(now, host, mac),
            Input::Applied(Ok(())) => {
                self.work = Work::Nothing;
                self.look = Some(now);
            }
            Input::Applied(Err(failure)) => {
                self.work = Work::Nothing;
                self.on_probation = None;
                self.applied = None;
                self.fail(now, failure);
            }
            Input::Internet(verdict) => {
                self.internet.answered(now, verdict);
                self.tell();
            }
            Input::CheckNow => {
                self.failure = None;
                self.hold = None;
                self.internet.ask_now(now);
                self.look_soon(now);
            }
            Input::Woken => {}
        }
        self.wake(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Woken`].
    pub fn deadline(&self) -> Deadline {
        let look = self.look.filter(|_| self.work == Work::Nothing);
        [
            look.map(|at| (at, "look at the network")),
            self.absent
                .filter(|_| self.work == Work::Nothing)
                .map(|at| (at, "look for NetworkManager")),
            self.finder.deadline(),
            self.on_probation
                .as_ref()
                .filter(|_| self.work == Work::Nothing)
                .map(|probation| (probation.until, "undo what did not come up")),
            self.internet.deadline(),
            self.again.deadline().filter(|_| self.may_try_again()),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|&(at, _)| at)
    }

    /// Whether nothing is left to be done before something happens.
    pub fn is_settled(&self) -> bool {
        let has_looked = self.work == Work::Nothing && self.look.is_none() && self.told.is_some();
        let has_asked = !self.finder.is_asking() || self.finder.sightings().complete;
        self.failure.is_some() || has_looked && has_asked && self.on_probation.is_none()
    }

    /// Why what is to be done cannot be done.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn wake(&mut self, now: Instant) {
        self.ask_on_the_cable(now);
        self.outputs
            .extend(self.internet.wake(now).map(Output::CheckInternet));
        if self.work != Work::Nothing {
            return;
        }
        if let Some(late) = self.on_probation.take_if(|probation| probation.until <= now) {
            self.outputs.push_back(Output::RollBack);
            self.fail(now, did_not_come_up(late.is_robots));
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.look) || is_due(self.absent) {
            self.look = None;
            self.absent = None;
            self.looked = Some(now);
            self.work = Work::Looking;
            self.outputs.push_back(Output::Observe);
        } else if self.may_try_again() {
            let due = self.again.wake(now);
            self.outputs
                .extend(due.map(|(profile, device)| Output::TryAgain(profile, device)));
        }
    }

    /// What is still on probation could take the next attempt back with it.
    fn may_try_again(&self) -> bool {
        self.work == Work::Nothing && self.on_probation.is_none()
    }

    fn ask_on_the_cable(&mut self, now: Instant) {
        let (was_asking, knew) = (self.finder.is_asking(), self.finder.sightings().clone());
        if let Some((interface, addresses)) = self.finder.wake(now) {
            self.outputs.push_back(Output::Ask {
                interface: interface.clone(),
                addresses: addresses.to_vec(),
            });
        }
        if was_asking && !self.finder.is_asking() {
            self.outputs.push_back(Output::StopAsking);
        }
        if *self.finder.sightings() != knew {
            self.look_soon(now);
        }
    }

    fn look_soon(&mut self, now: Instant) {
        let at = self.looked.map_or(now, |looked| (looked + GAP).max(now));
        self.look = Some(self.look.map_or(at, |look| look.min(at)));
    }

    fn observed(&mut self, now: Instant, mut observed: Observed) {
        self.work = Work::Nothing;
        let robot = select(&self.desired, &observed).robot.ok();
        let robot = robot
            .and_then(|name| link(&name, &observed))
            .filter(|link| link.carrier);
        let was_asking = self.finder.is_asking();
        self.finder.link(now, robot);
        if was_asking && !self.finder.is_asking() {
            self.outputs.push_back(Output::StopAsking);
        }
        observed.sightings = self.finder.sightings().clone();
        self.absent = observed.manager.is_none().then_some(now + ABSENCE);
        let Plan {
            mut steps,
            status,
            idle,
        } = plan(&self.desired, &observed);
        self.again.follow(now, idle);
        let world = World::of(&observed);
        if world.links != self.links {
            self.links = world.links.clone();
            self.hold = None;
            self.country_is_told = false;
        }
        // The kernel may know better where it is; it is told once for each stick that comes.
        steps.retain(|step| !(matches!(step, Step::SetCountry(_)) && self.country_is_told));
        let is_under_way = self.look_at_probation(now, &mut steps, &status);
        if !steps.is_empty() {
            self.act(now, &observed, world, steps, &status);
        } else if !is_under_way {
            self.failure = None;
            self.hold = None;
            self.applied = None;
            self.backoff.reset();
            self.verified = Some(observed.clone());
        }
        let question = self.question(&observed, &status);
        self.internet.follow(now, question);
        self.planned = status;
        self.tell();
    }

    /// Whether what NetworkManager was told is good, is not, or is still to be seen; until then it is told nothing else.
    fn look_at_probation(&mut self, now: Instant, steps: &mut Vec<Step>, status: &Status) -> bool {
        let Some(Probation { tried, is_robots, .. }) = &self.on_probation else {
            return false;
        };
        // A profile comes up in its own time, and one that is to go goes with the commit.
        let is_in_its_time =
            |step: &Step| matches!(step, Step::Activate(..) | Step::DeleteProfile(_)) && tried.contains(step);
        let comes_up = steps
            .iter()
            .any(|step| matches!(step, Step::Activate(..)) && tried.contains(step))
            || *is_robots && status.robot.carrier && !status.robot.ready && status.robot.reason.is_none();
        steps.retain(|step| !is_in_its_time(step));
        if steps.iter().any(|step| tried.contains(step)) {
            self.on_probation = None;
            self.outputs.push_back(Output::RollBack);
            self.fail(now, did_not_verify(steps));
            steps.clear();
            return true;
        }
        if comes_up {
            steps.retain(|step| !step.needs_checkpoint());
            return true;
        }
        self.on_probation = None;
        self.outputs.push_back(Output::Commit);
        false
    }

    fn act(&mut self, now: Instant, observed: &Observed, world: World, steps: Vec<Step>, status: &Status) {
        if let Some(hold) = self.hold.filter(|&hold| hold > now) {
            self.look = Some(hold);
            return;
        }
        let steps = one_side_at_a_time(steps, status);
        let is_among = |tried: &[Step]| steps.iter().any(|step| tried.contains(step));
        let before = self
            .applied
            .take_if(|(tried, before)| *before == world && is_among(tried));
        if before.is_some() {
            return self.fail(now, did_not_verify(&steps));
        }
        // What is still to come of a change of ours is no stranger's work.
        let verified = self.verified.as_ref().filter(|_| self.on_probation.is_none());
        if verified.is_some_and(|verified| repair::is_needed(&self.desired, verified, observed)) {
            if let Err(allowed) = self.repairs.allow(now) {
                self.look = Some(allowed);
                self.failure = Some(fought_over(&steps));
                return;
            }
            self.outputs.push_back(Output::Repair(list(&steps)));
        }
        let managed: Vec<_> = steps
            .iter()
            .filter(|step| step.needs_checkpoint())
            .cloned()
            .collect();
        if !managed.is_empty() {
            self.on_probation = Some(Probation {
                is_robots: managed.iter().any(|step| is_robots(step, status)),
                tried: managed,
                until: now + COMING_UP,
            });
        }
        self.country_is_told |= steps.iter().any(|step| matches!(step, Step::SetCountry(_)));
        self.applied = Some((steps.clone(), world));
        self.work = Work::Applying;
        let devices = devices(observed, status);
        self.outputs.push_back(Output::Apply { steps, devices });
    }

    fn fail(&mut self, now: Instant, failure: Failure) {
        self.verified = None;
        let again = now + self.backoff.fail();
        self.hold = Some(again);
        self.look = Some(again);
        self.failure = Some(failure);
        self.tell();
    }

    fn question(&self, observed: &Observed, status: &Status) -> Option<Question> {
        let device = status
            .uplink
            .interface
            .as_ref()
            .filter(|_| status.uplink.ready)
            .and_then(|name| observed.manager.as_ref()?.device(name))?;
        let interface = device.ip_interface.as_ref().unwrap_or(&device.interface);
        let link = observed.links.iter().find(|link| link.name == *interface);
        Some(Question {
            interface: interface.clone(),
            address: status.uplink.address?,
            name_servers: device.name_servers.clone(),
            lease: device.dhcp_server.zip(link).map(|(server, link)| Lease {
                server,
                client: link.mac,
            }),
            ingest: self.desired.ingest.clone(),
        })
    }

    /// Tells how things stand, with what only the engine knows, if that is news.
    fn tell(&mut self) {
        let mut status = self.planned.clone();
        let failure = self.failure.as_ref();
        status.reason = failure
            .map(|failure| Reason::new(failure.kind, &*failure.sentence))
            .or(status.reason)
            .or_else(|| self.complaint.clone());
        if let Some(verdict) = self.internet.verdict() {
            status.internet = verdict.internet();
            status.uplink.reason = status.uplink.reason.or_else(|| verdict.reason());
        }
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status.clone());
            self.outputs.push_back(Output::Tell(Box::new(status)));
        }
    }
}

impl World {
    fn of(observed: &Observed) -> Self {
        let manager = observed.manager.as_ref();
        Self {
            links: observed
                .links
                .iter()
                .map(|link| (link.index, link.name.clone(), link.carrier, link.losses))
                .collect(),
            devices: manager.map(|manager| manager.devices.clone()).unwrap_or_default(),
            sightings: observed.sightings.clone(),
        }
    }
}

/// NetworkManager's devices of both sides: what a checkpoint has to remember.
fn devices(observed: &Observed, status: &Status) -> Vec<InterfaceName> {
    let manager = observed.manager.as_ref();
    [&status.robot.interface, &status.uplink.interface]
        .into_iter()
        .flatten()
        .filter_map(|name| Some(manager?.device(name)?.interface.clone()))
        .collect()
}

fn list(steps: &[Step]) -> String {
    steps
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The robot's profile does not stand or fall with the others: NetworkManager is told of them after it.
fn one_side_at_a_time(mut steps: Vec<Step>, status: &Status) -> Vec<Step> {
    if steps.iter().any(|step| is_robots(step, status)) {
        steps.retain(|step| !step.needs_checkpoint() || is_robots(step, status));
    }
    steps
}

/// Whether NetworkManager is told of the robot's side by this.
fn is_robots(step: &Step, status: &Status) -> bool {
    let robot = Profile::robot();
    match step {
        Step::Manage(name) => status.robot.interface.as_deref() == Some(name.as_str()),
        Step::AddProfile(profile) | Step::UpdateProfile(profile) => profile.uuid() == robot,
        Step::DeleteProfile(uuid) | Step::Activate(uuid, _) => *uuid == robot,
        Step::LoadFirewall(_)
        | Step::ConfigureLink(..)
        | Step::SetCountry(_)
        | Step::AddRule(_)
        | Step::DeleteRule(_)
        | Step::AddRoute(_)
        | Step::DeleteRoute(_) => false,
    }
}

fn did_not_come_up(is_robots: bool) -> Failure {
    let side = if is_robots {
        "robot's side"
    } else {
        "internet's side"
    };
    Failure {
        kind: "did-not-come-up",
        sentence: format!(
            "the {side} of the network did not come up within {} s, so what was changed is undone",
            COMING_UP.as_secs()
        ),
        is_retryable: true,
    }
}

fn did_not_verify(steps: &[Step]) -> Failure {
    Failure {
        kind: "did-not-verify",
        sentence: format!(
            "a change of the network was made, but is not there: {}",
            list(steps)
        ),
        is_retryable: true,
    }
}

fn fought_over(steps: &[Step]) -> Failure {
    Failure {
        kind: "fought-over",
        sentence: format!(
            "another program keeps undoing what netsetup does, so it waits a minute; it would do: {}",
            list(steps)
        ),
        is_retryable: true,
    }
}
