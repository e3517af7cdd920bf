//! `docs/states.md` is the transition table of `supervise`, written from the code.

#![expect(clippy::expect_used, reason = "a test that is surprised has failed")]

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use spotstream_core::names::InterfaceName;
use spotstream_core::supervise::network::{Footing, Networks, Way};
use spotstream_core::supervise::state::{Event, Problem, Remedy, Side, State};
use spotstream_core::supervise::step::Supervisor;

#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the origin of virtual time"
)]
fn origin() -> Instant {
    Instant::now()
}

fn problem(remedy: Remedy) -> Problem {
    Problem::new("example", remedy, "an example")
}

fn ready(last_byte: u8) -> Way {
    Way::Ready(Footing {
        interface: InterfaceName::parse("eth0").expect("a name"),
        address: [192, 168, 50, last_byte].into(),
    })
}

fn missing() -> Way {
    Way::Missing(Problem::new("example", Remedy::AwaitNetwork, "netsetup's reason"))
}

fn networks(robot: Way, uplink: Way) -> Networks {
    Networks {
        robot,
        uplink,
        internet: None,
    }
}

/// The shortest way into each state. Where netsetup has spoken, it is said.
fn ways() -> Vec<(&'static str, Vec<Event>)> {
    let told = |robot, uplink| Event::Network(networks(robot, uplink));
    let logged_in = vec![Event::Start, Event::LoggedIn];
    let session = [logged_in.clone(), vec![Event::CameraReady { complete: true }]].concat();
    let standing = [session.clone(), vec![Event::SessionConnected]].concat();
    let live = [standing.clone(), vec![Event::OnAir]].concat();
    let with = |way: &[Event], event: Event| [way.to_vec(), vec![event]].concat();
    vec![
        ("Idle", vec![]),
        (
            "WaitingForNetwork (robot)",
            vec![Event::Start, Event::LoginFailed(problem(Remedy::AwaitNetwork))],
        ),
        (
            "WaitingForNetwork (robot), by netsetup",
            vec![Event::Start, told(missing(), ready(1))],
        ),
        ("WaitingForRobot", vec![Event::Start]),
        (
            "WaitingForAuthorization",
            vec![Event::Start, Event::AuthorizationPending],
        ),
        ("Connecting (camera)", logged_in),
        ("Connecting (session)", session),
        ("Connecting (ingest)", standing.clone()),
        (
            "WaitingForNetwork (uplink)",
            with(&standing, Event::IngestClosed(problem(Remedy::AwaitNetwork))),
        ),
        (
            "WaitingForNetwork (uplink), by netsetup",
            with(&standing, told(ready(1), missing())),
        ),
        ("Live", live.clone()),
        (
            "Live, the networks were away",
            [
                live.clone(),
                vec![told(ready(1), ready(1)), told(missing(), missing())],
            ]
            .concat(),
        ),
        (
            "Live, the networks are back and nothing was heard yet",
            [
                live.clone(),
                vec![
                    told(ready(1), ready(1)),
                    told(missing(), missing()),
                    told(ready(1), ready(1)),
                ],
            ]
            .concat(),
        ),
        ("Degraded", with(&live, Event::PictureStalled)),
        ("Fault", with(&live, Event::IngestClosed(problem(Remedy::Person)))),
    ]
}

fn events() -> Vec<(String, Event)> {
    let plain = [
        Event::Start,
        Event::Stop,
        Event::NetworkChanged,
        Event::Mended,
        Event::LoggedIn,
        Event::AuthorizationPending,
        Event::CameraReady { complete: true },
        Event::SessionConnected,
        Event::PictureStalled,
        Event::PictureBack,
        Event::KeyFrameNeeded,
        Event::SizeChanged,
        Event::Unsupported(problem(Remedy::Person)),
        Event::OnAir,
        Event::UplinkChoked,
        Event::UplinkRelieved,
        Event::Woken,
    ];
    let failures: [fn(Problem) -> Event; 4] = [
        Event::LoginFailed,
        Event::CameraFailed,
        Event::SessionClosed,
        Event::IngestClosed,
    ];
    let remedies = [
        ("retry", Remedy::Retry),
        ("network", Remedy::AwaitNetwork),
        ("sign in", Remedy::SignIn),
        ("person", Remedy::Person),
    ];
    let failures = failures.into_iter().flat_map(|failure| {
        remedies.map(|(word, remedy)| {
            let event = failure(problem(remedy));
            (format!("{} ({word})", event.name()), event)
        })
    });
    let no_internet = Networks {
        internet: Some(Problem::new("example", Remedy::AwaitNetwork, "netsetup's reason")),
        ..networks(ready(1), ready(1))
    };
    let news = [
        ("robot missing", networks(missing(), ready(1))),
        ("uplink missing", networks(ready(1), missing())),
        ("ready", networks(ready(1), ready(1))),
        ("ready, other addresses", networks(ready(2), ready(2))),
        ("ready, no internet", no_internet),
        ("nobody tells", Networks::default()),
    ];
    let news = news.map(|(word, networks)| (format!("Network ({word})"), Event::Network(networks)));
    let heard = [("robot", Side::Robot), ("uplink", Side::Uplink)]
        .map(|(word, side)| (format!("Heard ({word})"), Event::Heard(side)));
    plain
        .map(|event| (event.name().to_owned(), event))
        .into_iter()
        .chain(news)
        .chain(heard)
        .chain(failures)
        .collect()
}

fn enter(way: &[Event]) -> Supervisor {
    let mut supervisor = Supervisor::new(1);
    for event in way {
        supervisor
            .handle(origin(), event.clone())
            .expect("a way of events with meaning");
    }
    while supervisor.poll().is_some() {}
    supervisor
}

fn label(state: &State) -> String {
    match state {
        State::WaitingForNetwork(side, _) => {
            format!("{} ({})", state.name(), format!("{side:?}").to_lowercase())
        }
        State::Connecting(stage, _) => format!("{} ({})", state.name(), format!("{stage:?}").to_lowercase()),
        State::Idle
        | State::WaitingForRobot(_)
        | State::WaitingForAuthorization
        | State::Live
        | State::Degraded(_)
        | State::Fault(_) => state.name().to_owned(),
    }
}

fn document() -> String {
    let mut text = String::from(
        "# States\n\n\
         Written from `daemon/core/src/supervise` by `UPDATE=1 cargo test -p spotstream-core --test states`; the same\n\
         test fails when this page is stale. Per state: the event, the state that follows, and what is done at once\n\
         (a retry that waits for its pause is marked \"later\"). An event that is not listed changes nothing; one that\n\
         has no meaning in the state is logged.\n",
    );
    for (name, way) in ways() {
        let _ = writeln!(text, "\n## {name}\n");
        let shown = enter(&way);
        let _ = writeln!(
            text,
            "> {}\n\n| event | next state | at once |\n|---|---|---|",
            shown.state().reason()
        );
        for (title, event) in events() {
            let mut supervisor = enter(&way);
            let (before, deadline) = (supervisor.state().clone(), supervisor.deadline());
            if supervisor.handle(origin(), event).is_err() {
                continue;
            }
            let mut commands: Vec<String> = std::iter::from_fn(|| supervisor.poll())
                .map(|command| format!("{command:?}"))
                .collect();
            if let Some((at, why)) = supervisor.deadline()
                && deadline.is_none_or(|(earlier, _)| earlier != at)
            {
                commands.push(format!("later: {why}"));
            }
            if commands.is_empty() && supervisor.state() == &before && supervisor.deadline() == deadline {
                continue;
            }
            let _ = writeln!(
                text,
                "| {title} | {} | {} |",
                label(supervisor.state()),
                commands.join(", ")
            );
        }
    }
    text
}

#[test]
fn the_page_of_states_is_the_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/states.md");
    let document = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &document).expect("docs/states.md can be written");
    }
    let written = std::fs::read_to_string(&page).expect("docs/states.md can be read");
    assert!(
        written == document,
        "docs/states.md is stale: run UPDATE=1 cargo test -p spotstream-core --test states"
    );
}
