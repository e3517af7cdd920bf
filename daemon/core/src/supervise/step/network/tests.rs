use std::time::{Duration, Instant};

use super::super::Supervisor;
use super::TRIAL;
use crate::names::InterfaceName;
use crate::supervise::network::{Footing, Networks, Way};
use crate::supervise::state::Command::{
    CloseIngest, CloseSession, Listen, LogIn, OpenIngest, OpenSession, PrepareCamera, Rest,
};
use crate::supervise::state::{Command, Event, Problem, Remedy, Side, State};

/// A conductor, a clock, and the networks as netsetup last told them.
struct World {
    now: Instant,
    supervisor: Supervisor,
    networks: Networks,
}

fn problem(remedy: Remedy) -> Problem {
    Problem::new("test", remedy, "something was wrong")
}

fn missing(reason: &str) -> Way {
    Way::Missing(Problem::new("no-cable", Remedy::AwaitNetwork, reason))
}

fn ready(last_byte: u8) -> Way {
    Way::Ready(Footing {
        interface: InterfaceName::parse("eth0").unwrap(),
        address: [192, 168, 50, last_byte].into(),
    })
}

impl World {
    fn new(robot: Way, uplink: Way) -> Self {
        let mut world = Self {
            now: Instant::now(),
            supervisor: Supervisor::new(7),
            networks: Networks::default(),
        };
        world.tell(|networks| (networks.robot, networks.uplink) = (robot, uplink));
        world
    }

    fn on_air() -> Self {
        let mut world = Self::new(ready(21), ready(5));
        world.play([
            Event::Start,
            Event::LoggedIn,
            Event::CameraReady { complete: true },
            Event::SessionConnected,
            Event::OnAir,
        ]);
        world.after(Duration::from_secs(3600));
        world
    }

    /// What the conductor says to these.
    fn play(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Command> {
        for event in events {
            self.supervisor
                .handle(self.now, event)
                .expect("an event with a meaning");
        }
        self.drain()
    }

    fn tell(&mut self, change: impl FnOnce(&mut Networks)) -> Vec<Command> {
        change(&mut self.networks);
        self.play([Event::Network(self.networks.clone())])
    }

    fn robot(&mut self, way: Way) -> Vec<Command> {
        self.tell(|networks| networks.robot = way)
    }

    fn uplink(&mut self, way: Way) -> Vec<Command> {
        self.tell(|networks| networks.uplink = way)
    }

    /// Lets time pass, waking the conductor when it wants to be woken.
    fn after(&mut self, span: Duration) -> Vec<Command> {
        let end = self.now + span;
        let mut said = Vec::new();
        while let Some((at, _)) = self.supervisor.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            said.extend(self.play([Event::Woken]));
        }
        self.now = end;
        said
    }

    fn drain(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.supervisor.poll()).collect()
    }

    fn state(&self) -> (&'static str, String) {
        (self.supervisor.state().name(), self.supervisor.state().reason())
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn without_a_cable_the_reason_of_netsetup_is_shown_and_nothing_is_tried() {
    let mut world = World::new(missing("there is no cable to the robot"), ready(5));
    assert_eq!(world.play([Event::Start]), []);
    assert_eq!(
        world.state(),
        ("WaitingForNetwork", "there is no cable to the robot".to_owned())
    );
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.robot(missing("the robot does not answer")), []);
    assert_eq!(world.state().1, "the robot does not answer");
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.robot(ready(21)), [LogIn]);
    assert_eq!(world.state().0, "WaitingForRobot");
}

#[test]
fn a_cable_that_goes_ends_what_is_being_tried_and_one_that_comes_begins_it_with_a_fresh_backoff() {
    for way in [
        vec![],
        vec![Event::AuthorizationPending],
        vec![Event::LoggedIn],
        vec![Event::LoggedIn, Event::CameraReady { complete: true }],
    ] {
        let mut world = World::new(ready(21), ready(5));
        world.play([Event::Start]);
        for _ in 0..5 {
            world.play([Event::LoginFailed(problem(Remedy::Retry))]);
            world.after(Duration::from_secs(10));
        }
        let is_session = way.len() == 2;
        world.play(way);
        let commands = world.robot(missing("no cable"));
        assert_eq!(
            commands,
            if is_session {
                vec![CloseSession, Rest]
            } else {
                vec![Rest]
            }
        );
        assert_eq!(world.after(LONG), []);
        assert_eq!(world.robot(ready(21)), [LogIn]);
        // The first failure after it is tried again at once.
        world.play([Event::LoginFailed(problem(Remedy::Retry))]);
        assert_eq!(world.after(Duration::ZERO), [LogIn]);
    }
}

#[test]
fn what_fails_or_succeeds_late_does_not_start_what_waits_for_a_cable() {
    let mut world = World::new(ready(21), ready(5));
    world.play([Event::Start]);
    world.robot(missing("no cable"));
    world.play([Event::LoginFailed(problem(Remedy::Retry)), Event::LoggedIn]);
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.state(), ("WaitingForNetwork", "no cable".to_owned()));
}

#[test]
fn a_lock_out_outlasts_a_cable_that_is_pulled_meanwhile() {
    let mut world = World::new(ready(21), ready(5));
    world.play([Event::Start]);
    let minutes = Duration::from_secs(300);
    world.play([Event::LoginFailed(problem(Remedy::RetryAfter(minutes)))]);
    world.robot(missing("no cable"));
    assert_eq!(world.after(Duration::from_secs(100)), []);
    assert_eq!(world.robot(ready(21)), []);
    assert_eq!(world.state().0, "WaitingForRobot");
    assert_eq!(world.after(Duration::from_secs(199)), []);
    assert_eq!(world.after(Duration::from_secs(1)), [LogIn]);
}

#[test]
fn a_stream_is_not_torn_down_by_a_network_that_goes() {
    let mut world = World::on_air();
    assert_eq!(world.robot(missing("no cable")), []);
    assert_eq!(world.uplink(missing("no WiFi")), []);
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.supervisor.state(), &State::Live);
}

#[test]
fn a_session_that_is_heard_after_the_cable_is_back_goes_on() {
    let mut world = World::on_air();
    world.robot(missing("no cable"));
    world.after(Duration::from_secs(1));
    assert_eq!(world.robot(ready(21)), [Listen(Side::Robot)]);
    world.after(TRIAL / 2);
    assert_eq!(world.play([Event::Heard(Side::Robot)]), []);
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.supervisor.state(), &State::Live);
}

#[test]
fn a_session_that_is_not_heard_after_the_cable_is_back_is_begun_anew_and_not_waited_for() {
    let mut world = World::on_air();
    world.robot(missing("no cable"));
    world.after(Duration::from_secs(4));
    world.robot(ready(21));
    assert_eq!(world.after(TRIAL - Duration::from_millis(1)), []);
    assert_eq!(
        world.after(Duration::from_millis(1)),
        [CloseIngest, CloseSession, LogIn]
    );
    assert_eq!(world.state().0, "WaitingForRobot");
}

#[test]
fn a_session_that_ends_while_it_is_listened_for_is_begun_anew_with_the_login() {
    let mut world = World::on_air();
    world.robot(missing("no cable"));
    world.robot(ready(21));
    assert_eq!(
        world.play([Event::SessionClosed(problem(Remedy::Retry))]),
        [CloseIngest, CloseSession]
    );
    assert_eq!(world.after(Duration::ZERO), [LogIn]);
    assert_eq!(world.after(TRIAL), []);
}

#[test]
fn a_session_that_ends_without_a_cable_waits_for_the_cable_alone() {
    let mut world = World::on_air();
    world.robot(missing("no cable"));
    assert_eq!(
        world.play([Event::SessionClosed(problem(Remedy::Retry))]),
        [CloseIngest, CloseSession, Rest]
    );
    assert_eq!(world.state(), ("WaitingForNetwork", "no cable".to_owned()));
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.robot(ready(21)), [LogIn]);
}

#[test]
fn a_session_on_an_address_that_is_no_longer_ours_is_begun_anew_at_once() {
    let mut world = World::on_air();
    assert_eq!(world.robot(ready(20)), [CloseIngest, CloseSession, LogIn]);
    // The same when the change was not seen happening.
    let mut world = World::on_air();
    world.robot(missing("no cable"));
    world.tell(|networks| *networks = Networks::default());
    assert_eq!(world.robot(ready(20)), [CloseIngest, CloseSession, LogIn]);
    // And for what is only being brought up.
    let mut world = World::new(ready(21), ready(5));
    world.play([
        Event::Start,
        Event::LoggedIn,
        Event::CameraReady { complete: true },
    ]);
    assert_eq!(world.robot(ready(20)), [CloseSession, LogIn]);
}

#[test]
fn a_session_from_before_netsetup_is_not_disturbed_by_netsetup() {
    let mut world = World::on_air();
    world.tell(|networks| *networks = Networks::default());
    assert_eq!(
        world.tell(|networks| (networks.robot, networks.uplink) = (ready(21), ready(5))),
        []
    );
    let mut world = World::new(Way::Unknown, Way::Unknown);
    world.play([
        Event::Start,
        Event::LoggedIn,
        Event::CameraReady { complete: true },
        Event::SessionConnected,
        Event::OnAir,
    ]);
    assert_eq!(world.robot(ready(21)), []);
    assert_eq!(world.robot(ready(20)), [CloseIngest, CloseSession, LogIn]);
}

#[test]
fn without_an_uplink_the_session_stands_and_the_uplink_is_waited_for() {
    let mut world = World::new(ready(21), missing("no WiFi in reach"));
    let commands = world.play([
        Event::Start,
        Event::LoggedIn,
        Event::CameraReady { complete: true },
        Event::SessionConnected,
    ]);
    assert_eq!(commands, [LogIn, PrepareCamera, OpenSession]);
    assert_eq!(
        world.state(),
        ("WaitingForNetwork", "no WiFi in reach".to_owned())
    );
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.uplink(missing("the password is wrong")), []);
    assert_eq!(world.state().1, "the password is wrong");
    assert_eq!(world.uplink(ready(5)), [OpenIngest]);
}

#[test]
fn an_uplink_that_goes_ends_the_attempt_and_one_that_comes_begins_it_with_a_fresh_backoff() {
    let mut world = World::on_air();
    for _ in 0..5 {
        world.play([Event::IngestClosed(problem(Remedy::Retry))]);
        world.after(Duration::from_secs(10));
    }
    assert_eq!(world.uplink(missing("no WiFi")), [CloseIngest]);
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.uplink(ready(5)), [OpenIngest]);
    world.play([Event::IngestClosed(problem(Remedy::Retry))]);
    assert_eq!(world.after(Duration::ZERO), [OpenIngest]);
}

#[test]
fn a_publication_that_breaks_without_an_uplink_is_neither_tried_nor_a_refusal() {
    let mut world = World::on_air();
    for _ in 0..5 {
        world.uplink(missing("no WiFi"));
        assert_eq!(
            world.play([Event::IngestClosed(problem(Remedy::PersonIfRepeated))]),
            [CloseIngest]
        );
        assert_eq!(world.state(), ("WaitingForNetwork", "no WiFi".to_owned()));
        assert_eq!(world.after(LONG), []);
        assert_eq!(world.uplink(ready(5)), [OpenIngest]);
        world.play([Event::OnAir]);
    }
}

#[test]
fn a_publication_that_nothing_is_acknowledged_of_is_opened_anew_and_the_session_stands() {
    let mut world = World::on_air();
    world.uplink(missing("no WiFi"));
    world.after(Duration::from_secs(3));
    assert_eq!(world.uplink(ready(5)), [Listen(Side::Uplink)]);
    assert_eq!(world.after(TRIAL), [CloseIngest, OpenIngest]);
    // Once, not again and again.
    assert_eq!(world.after(LONG), []);
}

#[test]
fn a_publication_that_is_acknowledged_goes_on_whatever_our_address_is() {
    let mut world = World::on_air();
    world.uplink(missing("no WiFi"));
    world.uplink(ready(5));
    world.play([Event::Heard(Side::Uplink)]);
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.uplink(ready(6)), [Listen(Side::Uplink)]);
    world.play([Event::Heard(Side::Uplink)]);
    assert_eq!(world.after(LONG), []);
    assert_eq!(world.supervisor.state(), &State::Live);
}

#[test]
fn both_networks_that_are_back_and_silent_cost_one_new_beginning() {
    let mut world = World::on_air();
    world.tell(|networks| (networks.robot, networks.uplink) = (missing("no"), missing("no")));
    world.tell(|networks| (networks.robot, networks.uplink) = (ready(21), ready(5)));
    assert_eq!(world.after(LONG), [CloseIngest, CloseSession, LogIn]);
}

#[test]
fn no_internet_is_the_reason_and_no_obstacle() {
    let mut world = World::on_air();
    let portal = Problem::new(
        "captive-portal",
        Remedy::AwaitNetwork,
        "a page wants to be clicked first",
    );
    assert_eq!(
        world.tell(|networks| networks.internet = Some(portal)),
        [],
        "netsetup may be wrong"
    );
    world.play([Event::IngestClosed(problem(Remedy::AwaitNetwork))]);
    assert_eq!(
        world.state(),
        ("WaitingForNetwork", "a page wants to be clicked first".to_owned())
    );
    let mut tries = 0;
    for _ in 0..10 {
        tries += world.after(Duration::from_secs(6)).len();
        world.play([Event::IngestClosed(problem(Remedy::AwaitNetwork))]);
    }
    assert_eq!(tries, 10);
    // The page was clicked.
    assert_eq!(world.tell(|networks| networks.internet = None), [OpenIngest]);
}

#[test]
fn a_server_that_wants_a_pause_has_it_though_the_uplink_comes_and_goes() {
    let mut world = World::on_air();
    let pause = Duration::from_secs(60);
    world.play([Event::IngestClosed(problem(Remedy::RetryAfter(pause)))]);
    world.uplink(missing("no WiFi"));
    assert_eq!(world.uplink(ready(5)), []);
    assert_eq!(world.after(pause - Duration::from_secs(1)), []);
    assert_eq!(world.after(Duration::from_secs(1)), [OpenIngest]);
}

#[test]
fn when_nobody_tells_any_more_it_is_found_out_by_trying() {
    let mut world = World::new(missing("no cable"), ready(5));
    world.play([Event::Start]);
    assert_eq!(world.tell(|networks| *networks = Networks::default()), [LogIn]);
    world.play([Event::LoginFailed(problem(Remedy::AwaitNetwork))]);
    assert_eq!(world.after(Duration::from_secs(1)), [LogIn]);
}

#[test]
fn a_fault_stays_whatever_the_networks_do() {
    let mut world = World::on_air();
    world.play([Event::IngestClosed(problem(Remedy::Person))]);
    world.robot(missing("no cable"));
    assert_eq!(world.robot(ready(20)), []);
    assert_eq!(world.uplink(missing("no WiFi")), []);
    assert_eq!(world.uplink(ready(6)), []);
    assert_eq!(world.supervisor.state().name(), "Fault");
}

#[test]
fn a_change_while_a_try_is_under_way_costs_the_next_failure_its_pause_once() {
    let mut world = World::new(Way::Unknown, Way::Unknown);
    world.play([Event::Start]);
    for _ in 0..5 {
        world.play([Event::LoginFailed(problem(Remedy::AwaitNetwork))]);
        world.after(Duration::from_secs(6));
    }
    assert_eq!(world.play([Event::NetworkChanged]), [], "one try is under way");
    world.play([Event::LoginFailed(problem(Remedy::AwaitNetwork))]);
    assert_eq!(world.after(Duration::ZERO), [LogIn]);
    world.play([Event::LoginFailed(problem(Remedy::AwaitNetwork))]);
    assert_eq!(world.after(Duration::ZERO), []);
    assert_eq!(world.after(Duration::from_millis(1200)), [LogIn]);
}

#[test]
fn a_change_while_the_server_is_being_called_counts_for_the_server() {
    let mut world = World::on_air();
    world.tell(|networks| *networks = Networks::default());
    for _ in 0..5 {
        world.play([Event::IngestClosed(problem(Remedy::AwaitNetwork))]);
        world.after(Duration::from_secs(6));
    }
    world.play([Event::NetworkChanged]);
    world.play([Event::IngestClosed(problem(Remedy::AwaitNetwork))]);
    assert_eq!(world.after(Duration::ZERO), [OpenIngest]);
}

#[test]
fn a_session_that_ends_while_both_sides_are_listened_for_leaves_nobody_waiting_for_them() {
    let mut world = World::on_air();
    for way in [missing("away"), ready(21)] {
        world.robot(way);
    }
    for way in [missing("away"), ready(5)] {
        world.uplink(way);
    }
    world.play([Event::SessionClosed(problem(Remedy::Retry))]);
    let said = world.after(LONG);
    assert!(said.contains(&LogIn), "{said:?}");
    assert!(!said.contains(&OpenIngest), "{said:?}");
    assert_eq!(
        world
            .play([
                Event::LoggedIn,
                Event::CameraReady { complete: true },
                Event::SessionConnected,
            ])
            .last(),
        Some(&OpenIngest)
    );
}

#[test]
fn a_camera_that_shows_nothing_is_not_taken_for_dead_because_its_network_was_away() {
    let mut world = World::on_air();
    world.play([Event::PictureStalled]);
    world.robot(missing("away"));
    assert_eq!(world.robot(ready(21)), []);
    assert_eq!(world.after(Duration::from_secs(5)), []);
}

#[test]
fn a_pause_that_the_server_asked_for_outlives_the_session() {
    let mut world = World::on_air();
    world.play([Event::IngestClosed(problem(Remedy::RetryAfter(
        Duration::from_secs(30),
    )))]);
    world.play([Event::SessionClosed(problem(Remedy::Retry))]);
    world.after(Duration::from_secs(2));
    let said = world.play([Event::CameraReady { complete: true }, Event::SessionConnected]);
    assert!(!said.contains(&OpenIngest), "{said:?}");
    assert!(world.after(Duration::from_secs(30)).contains(&OpenIngest));
}
