//! The engine in virtual time, with a machine that does what it is told and a robot that answers or not.
#![expect(clippy::unwrap_used, reason = "a test that is surprised has failed")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use netsetup::config::check_bytes;
use netsetup_core::engine::{Engine, Failure, Input, Output, Verdict};
use netsetup_core::observed::Observed;
use netsetup_core::status::{Internet, Status};

mod model;

const ROBOT: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 3);
const SECOND: Duration = Duration::from_secs(1);

/// A payload port and a USB stick whose network is not in reach.
const MACHINE: &str = include_str!("plan/01-first-start-nothing-is-known/observed.json");
/// The same, with everything in place.
const WELL: &str = include_str!("plan/19-all-is-well/observed.json");
const SETTINGS: &str = include_str!("plan/19-all-is-well/desired.toml");

struct World {
    zero: Instant,
    now: Instant,
    engine: Engine,
    machine: Observed,
    robot_answers: bool,
    /// Whether the machine does what it is told.
    obeys: bool,
    /// Whether the robot's interface never gets through with what it is told.
    hangs: bool,
    /// Why NetworkManager does nothing, if it does nothing.
    refusal: Option<Failure>,
    /// What the internet says, if it says anything.
    verdict: Option<Verdict>,
    told: Status,
    outputs: Vec<(Duration, Output)>,
}

impl World {
    fn new(machine: &str, settings: &str) -> Self {
        let desired = check_bytes(Path::new("desired.toml"), settings.as_bytes())
            .unwrap()
            .desired;
        let zero = Instant::now();
        let mut machine: Observed = serde_json::from_str(machine).unwrap();
        machine.sightings = Default::default();
        Self {
            zero,
            now: zero,
            engine: Engine::new(zero, desired, 7),
            machine,
            robot_answers: true,
            obeys: true,
            hangs: false,
            refusal: None,
            verdict: None,
            told: Status::default(),
            outputs: Vec::new(),
        }
    }

    /// A machine on which everything is in place, and the engine has seen it.
    fn at_rest() -> Self {
        let mut world = Self::new(WELL, SETTINGS);
        world.pass(SECOND);
        world.outputs.clear();
        world
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.serve();
    }

    fn changed(&mut self) {
        self.tell(Input::Changed);
    }

    fn serve(&mut self) {
        while let Some(output) = self.engine.poll() {
            self.outputs.push((self.now - self.zero, output.clone()));
            match output {
                Output::Observe => {
                    let observed = Box::new(self.machine.clone());
                    self.engine.handle(self.now, Input::Observed(observed));
                }
                Output::Apply { steps, .. } => {
                    if let Some(refusal) = self.refusal.clone() {
                        self.engine.handle(self.now, Input::Applied(Err(refusal)));
                        continue;
                    }
                    if self.obeys {
                        steps
                            .iter()
                            .for_each(|step| model::apply(&mut self.machine, step));
                    }
                    if self.hangs {
                        hang(&mut self.machine);
                    }
                    self.engine.handle(self.now, Input::Applied(Ok(())));
                }
                Output::CheckInternet(_) => {
                    if let Some(verdict) = self.verdict.clone() {
                        self.engine.handle(self.now, Input::Internet(verdict));
                    }
                }
                Output::Tell(status) => self.told = *status,
                Output::Ask { .. } if self.robot_answers => {
                    let mac = "02:00:00:00:00:03".parse().unwrap();
                    self.engine.handle(self.now, Input::Answer(ROBOT, mac));
                }
                Output::Ask { .. }
                | Output::StopAsking
                | Output::Commit
                | Output::RollBack
                | Output::TryAgain(..)
                | Output::Repair(_) => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.tell(Input::Woken);
        let mut wakes = 0;
        while let Some((at, why)) = self.engine.deadline().filter(|&(at, _)| at <= until) {
            wakes = if at > self.now { 0 } else { wakes + 1 };
            assert!(wakes < 10, "{why}: again and again at the same time");
            self.now = self.now.max(at);
            self.tell(Input::Woken);
        }
        self.now = until;
    }

    fn count(&self, is_counted: impl Fn(&Output) -> bool) -> usize {
        self.outputs
            .iter()
            .filter(|(_, output)| is_counted(output))
            .count()
    }

    fn status(&self) -> &Status {
        &self.told
    }

    fn has_told(&self, kind: &str) -> bool {
        let is_it = |status: &Status| status.reason.as_ref().is_some_and(|reason| reason.kind == kind);
        self.outputs
            .iter()
            .any(|(_, output)| matches!(output, Output::Tell(status) if is_it(status)))
    }

    fn reason(&self) -> Option<&str> {
        self.status().reason.as_ref().map(|reason| reason.kind.as_str())
    }
}

/// The robot's interface is on its way, and stays there.
fn hang(machine: &mut Observed) {
    let devices = &mut machine.manager.as_mut().unwrap().devices;
    for device in devices.iter_mut().filter(|device| device.state == 100) {
        if device.interface.as_str() == "eth0" {
            device.state = 70;
        }
    }
    machine
        .addresses
        .retain(|address| address.interface.as_str() != "eth0");
    machine.routes.retain(|route| {
        route
            .interface
            .as_ref()
            .is_none_or(|name| name.as_str() != "eth0")
    });
}

fn is_look(output: &Output) -> bool {
    matches!(output, Output::Observe)
}

fn is_apply(output: &Output) -> bool {
    matches!(output, Output::Apply { .. })
}

fn is_question(output: &Output) -> bool {
    matches!(output, Output::CheckInternet(_))
}

fn lose_a_rule(world: &mut World) {
    world.machine.rules.remove(0);
    world.changed();
}

#[test]
fn from_nothing_to_ready_takes_two_tries_on_the_cable() {
    let mut world = World::new(MACHINE, SETTINGS);
    world.pass(SECOND);
    assert!(world.status().robot.ready, "{:#?}", world.status());
    let ready = world
        .outputs
        .iter()
        .find(|(_, output)| matches!(output, Output::Tell(status) if status.robot.ready))
        .map(|(at, _)| *at);
    assert!(ready.unwrap() <= Duration::from_millis(500), "{ready:?}");
    assert_eq!(world.count(|output| *output == Output::RollBack), 0);
    // The uplink is left to NetworkManager, which does nothing here.
    let why = world.engine.deadline().map(|(_, why)| why);
    assert_eq!(why, Some("try a WiFi network again"));
}

#[test]
fn of_a_machine_at_rest_nothing_is_wanted_any_more() {
    let mut world = World::at_rest();
    assert!(world.status().robot.ready && world.status().uplink.ready);
    world.tell(Input::Internet(Verdict::Online));
    world.outputs.clear();
    world.pass(3600 * SECOND);
    assert_eq!(world.outputs, []);
    assert_eq!(world.engine.deadline(), None);
}

#[test]
fn a_storm_of_changes_is_no_storm_of_looks() {
    let mut world = World::at_rest();
    for _ in 0..10_000 {
        world.pass(Duration::from_micros(100));
        world.changed();
    }
    let looks = world.count(is_look);
    assert!((10..=21).contains(&looks), "{looks} looks in a second");
    assert_eq!(world.count(is_apply), 0);
}

#[test]
fn what_a_stranger_takes_away_is_put_back_with_one_line() {
    let mut world = World::at_rest();
    lose_a_rule(&mut world);
    world.pass(SECOND);
    let lines: Vec<_> = world
        .outputs
        .iter()
        .filter_map(|(_, output)| {
            let Output::Repair(line) = output else { return None };
            Some(line.as_str())
        })
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0], "add rule 120: to 10.0.0.3 lookup robot");
}

#[test]
fn a_fight_becomes_a_reason_and_ends_when_the_other_side_gives_up() {
    let mut world = World::at_rest();
    for _ in 0..20 {
        lose_a_rule(&mut world);
        world.pass(SECOND);
        if world.machine.rules.len() < 3 {
            break;
        }
    }
    assert_eq!(world.count(is_apply), 6);
    assert_eq!(world.reason(), Some("fought-over"));
    world.pass(60 * SECOND);
    assert_eq!(world.reason(), None);
    assert!(world.status().robot.ready);
}

#[test]
fn following_the_world_is_no_fight() {
    let mut world = World::at_rest();
    for _ in 0..100 {
        for carrier in [false, true] {
            let link = world
                .machine
                .links
                .iter_mut()
                .find(|link| link.name.as_str() == "eth0");
            link.unwrap().carrier = carrier;
            world.changed();
            world.pass(SECOND);
        }
    }
    assert_eq!(world.reason(), None);
    assert_eq!(world.count(|output| matches!(output, Output::Repair(_))), 0);
    assert!(world.status().robot.ready);
}

#[test]
fn a_change_that_does_not_stick_is_a_reason_and_not_a_loop() {
    let mut world = World::new(MACHINE, SETTINGS);
    world.obeys = false;
    world.pass(60 * SECOND);
    assert_eq!(world.reason(), Some("did-not-verify"));
    let applies = world.count(is_apply);
    assert!(applies < 40, "{applies} in a minute");
    world.obeys = true;
    world.pass(10 * SECOND);
    assert_eq!(world.reason(), None);
    assert!(world.status().robot.ready);
}

#[test]
fn what_networkmanager_did_is_committed_when_it_is_seen() {
    let mut world = World::new(MACHINE, SETTINGS);
    world.pass(SECOND);
    assert!(world.count(|output| *output == Output::Commit) > 0);
    assert_eq!(world.count(|output| *output == Output::RollBack), 0);
}

#[test]
fn what_networkmanager_did_is_undone_when_the_robots_side_does_not_come_up() {
    let mut world = World::new(MACHINE, SETTINGS);
    world.hangs = true;
    world.pass(14 * SECOND);
    assert_eq!(world.count(|output| *output == Output::RollBack), 0);
    world.pass(3 * SECOND);
    assert_eq!(world.count(|output| *output == Output::RollBack), 1);
    assert!(world.has_told("did-not-come-up"));
}

#[test]
fn a_refusal_is_the_reason_for_as_long_as_it_lasts_and_is_not_hammered() {
    let mut world = World::new(MACHINE, SETTINGS);
    world.refusal = Some(Failure {
        kind: "manager-refused",
        sentence: "failed to add the profile 'x': not allowed".to_owned(),
        is_retryable: false,
    });
    for _ in 0..300 {
        world.pass(Duration::from_millis(200));
        // What is undone changes something, too.
        world.changed();
        assert_eq!(world.reason(), Some("manager-refused"));
    }
    let applies = world.count(is_apply);
    assert!((5..=20).contains(&applies), "{applies} in a minute");
    world.refusal = None;
    world.pass(10 * SECOND);
    assert_eq!(world.reason(), None);
    assert!(world.status().robot.ready);
}

#[test]
fn the_internet_is_asked_until_it_answers_and_again_after_each_move() {
    let mut world = World::at_rest();
    let portal = Verdict::CaptivePortal(Some("http://portal.example/".to_owned()));
    world.verdict = Some(portal.clone());
    world.tell(Input::Internet(portal));
    assert_eq!(world.status().internet, Internet::CaptivePortal);
    assert!(
        world
            .status()
            .uplink
            .reason
            .as_ref()
            .unwrap()
            .sentence
            .contains("http://portal.example/")
    );
    world.pass(60 * SECOND);
    assert_eq!(world.count(is_question), 4);
    world.verdict = Some(Verdict::Online);
    world.pass(15 * SECOND);
    assert_eq!(
        (world.status().internet, &world.status().uplink.reason),
        (Internet::Yes, &None)
    );
    world.verdict = None;
    world.outputs.clear();
    world.pass(600 * SECOND);
    assert_eq!(world.count(is_question), 0);

    let devices = &mut world.machine.manager.as_mut().unwrap().devices;
    devices
        .iter_mut()
        .for_each(|device| device.name_servers.push(Ipv4Addr::new(203, 0, 113, 53)));
    world.changed();
    world.pass(SECOND);
    assert_eq!(world.count(is_question), 1);
    assert_eq!(world.status().internet, Internet::Unknown);
}

#[test]
fn a_robot_that_falls_silent_is_looked_for_and_one_on_another_link_is_not() {
    let mut world = World::at_rest();
    let of = |name: &str| netsetup_core::names::InterfaceName::parse(name).unwrap();
    world.tell(Input::NeighbourFailed(of("wlan1"), ROBOT));
    assert_eq!(world.count(|output| matches!(output, Output::Ask { .. })), 0);
    world.robot_answers = false;
    world.tell(Input::NeighbourFailed(of("eth0"), ROBOT));
    world.pass(5 * SECOND);
    assert!(!world.status().robot.ready);
    world.robot_answers = true;
    world.pass(2 * SECOND);
    assert!(world.status().robot.ready);
}

/// NetworkManager has given up the WiFi, and does nothing by itself.
fn give_up(world: &mut World) {
    let devices = &mut world.machine.manager.as_mut().unwrap().devices;
    for device in devices
        .iter_mut()
        .filter(|device| device.interface.as_str() == "wlan1")
    {
        (device.state, device.state_reason, device.profile) = (30, 0, None);
        device.failure = Some(7);
    }
    world
        .machine
        .addresses
        .retain(|address| address.interface.as_str() != "wlan1");
    world.changed();
}

fn attempts(world: &World) -> Vec<u64> {
    let of_wifi = |output: &Output| {
        let Output::TryAgain(profile, device) = output else {
            return false;
        };
        profile.to_string() == "68478347-05a5-5d89-b978-95b490a77dcb" && device.as_str() == "wlan1"
    };
    let attempts = world.outputs.iter().filter(|(_, output)| of_wifi(output));
    attempts.map(|(at, _)| at.as_secs()).collect()
}

#[test]
fn a_network_that_networkmanager_has_given_up_is_tried_every_thirty_seconds() {
    let mut world = World::at_rest();
    give_up(&mut world);
    world.pass(SECOND);
    // The rules of the address that is gone.
    assert_eq!(world.count(is_apply), 1);
    let reason = |world: &World| world.status().uplink.reason.clone().map(|reason| reason.kind);
    for _ in 0..94 {
        world.pass(SECOND);
        assert_eq!(reason(&world).as_deref(), Some("wifi-wrong-password"));
    }
    assert_eq!(attempts(&world), [31, 61, 91]);
    assert_eq!(
        world.count(|output| is_apply(output) || *output == Output::RollBack),
        1
    );
    assert_eq!(world.reason(), None);
}

#[test]
fn while_networkmanager_tries_by_itself_it_is_not_disturbed() {
    let mut world = World::at_rest();
    for _ in 0..10 {
        give_up(&mut world);
        world.pass(20 * SECOND);
        let devices = &mut world.machine.manager.as_mut().unwrap().devices;
        devices
            .iter_mut()
            .filter(|device| device.interface.as_str() == "wlan1")
            .for_each(|device| device.state = 50);
        world.changed();
        world.pass(20 * SECOND);
    }
    assert!(attempts(&world).is_empty());
}

#[test]
fn a_network_out_of_reach_is_not_tried() {
    let mut world = World::at_rest();
    let devices = &mut world.machine.manager.as_mut().unwrap().devices;
    devices.iter_mut().for_each(|device| device.seen.clear());
    give_up(&mut world);
    world.pass(600 * SECOND);
    assert!(attempts(&world).is_empty());
    assert_eq!(world.engine.deadline(), None);
}

#[test]
fn no_attempt_is_made_that_a_rollback_could_undo() {
    let mut world = World::new(MACHINE, SETTINGS);
    world.pass(SECOND);
    let devices = &mut world.machine.manager.as_mut().unwrap().devices;
    devices
        .iter_mut()
        .for_each(|device| device.seen.push("Lab".to_owned().try_into().unwrap()));
    give_up(&mut world);
    world.pass(25 * SECOND);
    // The robot's cable is moved, and its side hangs under a checkpoint.
    world.hangs = true;
    lose_the_profile(&mut world);
    world.pass(8 * SECOND);
    assert!(attempts(&world).is_empty());
    world.pass(20 * SECOND);
    let undone = world
        .outputs
        .iter()
        .position(|(_, output)| *output == Output::RollBack);
    let tried = world
        .outputs
        .iter()
        .position(|(_, output)| matches!(output, Output::TryAgain(..)));
    assert!(undone.is_some() && tried > undone, "{undone:?} {tried:?}");
}

fn lose_the_profile(world: &mut World) {
    let manager = world.machine.manager.as_mut().unwrap();
    manager
        .profiles
        .retain(|stored| stored.uuid != netsetup_core::profile::Profile::robot());
    world.changed();
}

#[test]
fn a_network_manager_that_was_too_busy_to_answer_is_looked_for_again() {
    let mut world = World::at_rest();
    let manager = world.machine.manager.take();
    world.changed();
    assert!(!world.told.robot.ready);
    assert!(
        world.engine.is_settled(),
        "whoever waits for an end does not wait for this"
    );
    // Nobody tells that it answers now.
    world.machine.manager = manager;
    world.pass(5 * SECOND);
    assert!(
        world.told.robot.ready && world.told.uplink.ready,
        "{:?}",
        world.told
    );
    let looks = |world: &World| {
        let looked = |(_, output): &&(Duration, Output)| matches!(output, Output::Observe);
        world.outputs.iter().filter(looked).count()
    };
    let before = looks(&world);
    world.pass(60 * SECOND);
    assert_eq!(looks(&world), before, "and not once it is there");
}
