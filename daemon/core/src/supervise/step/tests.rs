use super::*;

fn drain(supervisor: &mut Supervisor) -> Vec<Command> {
    std::iter::from_fn(|| supervisor.poll()).collect()
}

fn problem(remedy: Remedy) -> Problem {
    Problem::new("test", remedy, "something was wrong")
}

fn play(now: Instant, events: impl IntoIterator<Item = Event>) -> Supervisor {
    let mut supervisor = Supervisor::new(7);
    for event in events {
        supervisor.handle(now, event).expect("an event with a meaning");
    }
    supervisor
}

fn way_to_air() -> Vec<Event> {
    vec![
        Event::Start,
        Event::LoggedIn,
        Event::CameraReady { complete: true },
        Event::SessionConnected,
        Event::OnAir,
    ]
}

fn on_air(now: Instant) -> Supervisor {
    let mut supervisor = play(now, way_to_air());
    drain(&mut supervisor);
    supervisor
}

#[test]
fn the_way_to_air_is_login_camera_session_ingest() {
    let mut supervisor = play(Instant::now(), way_to_air());
    use Command::{LogIn, OpenIngest, OpenSession, PrepareCamera};
    assert_eq!(
        drain(&mut supervisor),
        [LogIn, PrepareCamera, OpenSession, OpenIngest]
    );
    assert_eq!(supervisor.state(), &State::Live);
}

#[test]
fn a_lost_ingest_is_opened_again_at_once_and_the_camera_is_left_alone() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor
        .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
        .unwrap();
    assert_eq!(drain(&mut supervisor), [Command::CloseIngest]);
    assert_eq!(supervisor.deadline().unwrap().0, now);
    supervisor.handle(now, Event::Woken).unwrap();
    assert_eq!(drain(&mut supervisor), [Command::OpenIngest]);
    assert_eq!(supervisor.state().name(), "Connecting");
}

#[test]
fn a_server_that_accepts_and_hangs_up_is_not_hammered() {
    let mut now = Instant::now();
    let mut supervisor = on_air(now);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
            .unwrap();
        let at = supervisor.deadline().unwrap().0;
        pauses.push((at - now).as_secs());
        now = at;
        supervisor.handle(now, Event::Woken).unwrap();
        supervisor.handle(now, Event::OnAir).unwrap();
    }
    assert_eq!(pauses[..4], [0, 1, 2, 4]);
    assert!(pauses[4] >= 5 && pauses[5] >= 5);
}

#[test]
fn an_hour_on_air_forgets_earlier_failures() {
    let mut now = Instant::now();
    let mut supervisor = on_air(now);
    for _ in 0..3 {
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
            .unwrap();
        now = supervisor.deadline().unwrap().0;
        supervisor.handle(now, Event::Woken).unwrap();
        supervisor.handle(now, Event::OnAir).unwrap();
        now += Duration::from_secs(3600);
    }
    supervisor
        .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
        .unwrap();
    assert_eq!(supervisor.deadline().unwrap().0, now);
}

#[test]
fn a_refused_key_is_a_fault_that_puts_the_camera_back_and_does_not_loop() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor
        .handle(now, Event::IngestClosed(problem(Remedy::Person)))
        .unwrap();
    assert_eq!(supervisor.state().name(), "Fault");
    assert_eq!(supervisor.deadline(), None);
    use Command::{CloseIngest, CloseSession, RestoreCamera};
    assert_eq!(drain(&mut supervisor), [CloseIngest, CloseSession, RestoreCamera]);
    supervisor.handle(now, Event::NetworkChanged).unwrap();
    assert_eq!(drain(&mut supervisor), []);
    supervisor.handle(now, Event::Mended).unwrap();
    assert_eq!(drain(&mut supervisor), [Command::LogIn]);
}

#[test]
fn a_server_that_hangs_up_again_and_again_has_refused_us() {
    let mut now = Instant::now();
    let mut supervisor = on_air(now);
    for _ in 1..REFUSALS {
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::PersonIfRepeated)))
            .unwrap();
        assert_eq!(supervisor.state().name(), "Connecting");
        let at = supervisor.deadline().unwrap().0;
        assert!(at - now >= REFUSAL_PAUSE);
        now = at;
        supervisor.handle(now, Event::Woken).unwrap();
    }
    supervisor
        .handle(now, Event::IngestClosed(problem(Remedy::PersonIfRepeated)))
        .unwrap();
    assert_eq!(supervisor.state().name(), "Fault");
}

#[test]
fn a_network_that_is_ready_again_is_used_at_once() {
    let mut now = Instant::now();
    let mut supervisor = play(now, [Event::Start]);
    drain(&mut supervisor);
    for _ in 0..5 {
        supervisor
            .handle(now, Event::LoginFailed(problem(Remedy::AwaitNetwork)))
            .unwrap();
        now = supervisor.deadline().unwrap().0;
        supervisor.handle(now, Event::Woken).unwrap();
    }
    drain(&mut supervisor);
    supervisor
        .handle(now, Event::LoginFailed(problem(Remedy::AwaitNetwork)))
        .unwrap();
    assert!(supervisor.deadline().unwrap().0 > now);
    supervisor.handle(now, Event::NetworkChanged).unwrap();
    assert_eq!(drain(&mut supervisor), [Command::LogIn]);
}

#[test]
fn a_lock_out_is_waited_for_whatever_the_network_does() {
    let now = Instant::now();
    let mut supervisor = play(now, [Event::Start]);
    drain(&mut supervisor);
    let minutes = Duration::from_secs(300);
    supervisor
        .handle(now, Event::LoginFailed(problem(Remedy::RetryAfter(minutes))))
        .unwrap();
    supervisor.handle(now, Event::NetworkChanged).unwrap();
    assert_eq!(drain(&mut supervisor), []);
    assert_eq!(supervisor.deadline().unwrap().0, now + minutes);
}

#[test]
fn a_lost_session_sets_the_camera_up_anew() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor
        .handle(now, Event::SessionClosed(problem(Remedy::Retry)))
        .unwrap();
    supervisor.handle(now, Event::Woken).unwrap();
    use Command::{CloseIngest, CloseSession, PrepareCamera};
    assert_eq!(drain(&mut supervisor), [CloseIngest, CloseSession, PrepareCamera]);
}

#[test]
fn shortfalls_add_up_and_go_away_one_by_one() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor.handle(now, Event::PictureStalled).unwrap();
    supervisor.handle(now, Event::UplinkChoked).unwrap();
    assert!(supervisor.state().reason().contains("stopped sending"));
    supervisor.handle(now, Event::PictureBack).unwrap();
    assert_eq!(supervisor.state().kind(), "uplink-choked");
    supervisor.handle(now, Event::UplinkRelieved).unwrap();
    assert_eq!(supervisor.state(), &State::Live);
}

#[test]
fn a_new_picture_size_is_published_anew() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor.handle(now, Event::SizeChanged).unwrap();
    assert_eq!(
        drain(&mut supervisor),
        [Command::CloseIngest, Command::OpenIngest]
    );
}

#[test]
fn what_the_last_session_says_of_the_camera_does_not_skip_its_set_up() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor
        .handle(now, Event::SessionClosed(problem(Remedy::Retry)))
        .unwrap();
    drain(&mut supervisor);
    supervisor
        .handle(now, Event::CameraReady { complete: true })
        .unwrap();
    assert_eq!(drain(&mut supervisor), []);
    supervisor.handle(now, Event::Woken).unwrap();
    assert_eq!(drain(&mut supervisor), [Command::PrepareCamera]);
}

#[test]
fn a_choke_ends_with_the_publication_that_was_choked() {
    let now = Instant::now();
    let mut supervisor = on_air(now);
    supervisor.handle(now, Event::UplinkChoked).unwrap();
    supervisor.handle(now, Event::SizeChanged).unwrap();
    supervisor.handle(now, Event::OnAir).unwrap();
    assert_eq!(supervisor.state(), &State::Live);
}

#[test]
fn a_server_that_hangs_up_now_and_then_has_not_refused_us() {
    let mut now = Instant::now();
    let mut supervisor = on_air(now);
    for _ in 0..3 * REFUSALS {
        for remedy in [Remedy::PersonIfRepeated, Remedy::AwaitNetwork] {
            supervisor
                .handle(now, Event::IngestClosed(problem(remedy)))
                .unwrap();
            now = supervisor.deadline().unwrap().0;
            supervisor.handle(now, Event::Woken).unwrap();
        }
    }
    assert_eq!(supervisor.state().name(), "Connecting");
}

#[test]
fn a_late_report_changes_nothing() {
    let now = Instant::now();
    let mut supervisor = play(now, [Event::Start]);
    let before = supervisor.state().clone();
    assert!(supervisor.handle(now, Event::OnAir).is_err());
    assert_eq!(supervisor.state(), &before);
}
