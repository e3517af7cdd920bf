//! The two networks, and what is at their ends.

use netsetup::view::Internet;

use crate::doctor::Check;
use crate::doctor::evidence::{Evidence, Interface};

const NOBODY: &str = "the program that sets up the network does not run";

pub(super) fn interfaces(evidence: &Evidence) -> Check {
    let found: Vec<String> = evidence.interfaces.iter().map(describe).collect();
    let finding = found.join("; ");
    let has_wireless = evidence.interfaces.iter().any(|interface| interface.is_wireless);
    let uplink = evidence
        .network
        .as_ref()
        .and_then(|network| network.uplink.interface.as_ref());
    if found.is_empty() {
        Check::problem(
            "interfaces",
            "there is none",
            "this kernel does not know the board's network: write the image to the card anew",
        )
    } else if !has_wireless && uplink.is_none() {
        Check::problem(
            "interfaces",
            format!("{finding}; there is no WiFi"),
            "plug in a USB WiFi stick of the list in the README, into another port if it is plugged in",
        )
    } else {
        Check::ok("interfaces", finding)
    }
}

fn describe(interface: &Interface) -> String {
    let Interface {
        name,
        mac,
        is_permanent,
        driver,
        has_carrier,
        ..
    } = interface;
    let driver = driver
        .as_ref()
        .map_or_else(String::new, |driver| format!(" ({driver})"));
    let kind = if *is_permanent {
        ""
    } else {
        ", not its own address"
    };
    let carrier = if *has_carrier {
        ""
    } else {
        ", nothing at the other end"
    };
    format!("{name}{driver} {mac}{kind}{carrier}")
}

pub(super) fn routes(evidence: &Evidence) -> Check {
    let shown: Vec<String> = evidence
        .default_routes
        .iter()
        .map(|(interface, gateway)| format!("{gateway} on {interface}"))
        .collect();
    let robot = evidence
        .network
        .as_ref()
        .and_then(|network| network.robot.interface.as_deref());
    let astray = evidence
        .default_routes
        .iter()
        .any(|(interface, _)| Some(interface.as_str()) == robot);
    if astray {
        Check::problem(
            "routes",
            format!("the way to the internet leads to the robot: {}", shown.join(", ")),
            "run 'netsetup apply', or start the box again; if it comes back, send us the report",
        )
    } else if shown.is_empty() {
        Check::problem(
            "routes",
            "there is no way to the internet",
            "see what is said about the internet",
        )
    } else {
        Check::ok(
            "routes",
            format!("the way to the internet is {}", shown.join(", ")),
        )
    }
}

pub(super) fn robot(evidence: &Evidence) -> Check {
    let Some(network) = &evidence.network else {
        return Check::unknown("robot", NOBODY);
    };
    let robot = &network.robot;
    match (&robot.reason, robot.ready) {
        (Some(reason), _) => Check::problem(
            "robot",
            reason.sentence.clone(),
            "check the cable to the robot, the port on the robot, and that the robot is on",
        ),
        (None, false) => Check::unknown("robot", "its network is coming up"),
        (None, true) => {
            let address = robot
                .address
                .map_or_else(|| "it".to_owned(), |address| address.to_string());
            Check::ok("robot", format!("{address} answers"))
        }
    }
}

pub(super) fn internet(evidence: &Evidence) -> Check {
    let Some(network) = &evidence.network else {
        return Check::unknown("internet", NOBODY);
    };
    let uplink = &network.uplink;
    if let Some(reason) = &uplink.reason {
        return Check::problem(
            "internet",
            reason.sentence.clone(),
            "check the [wifi] lines of the settings, and the network with a phone",
        );
    }
    match (uplink.ready, network.internet) {
        (_, Internet::CaptivePortal) => Check::problem(
            "internet",
            "the WiFi wants a page to be clicked first",
            "use a network without such a page, or have its owner let our hardware address in",
        ),
        (_, Internet::No) => Check::problem(
            "internet",
            "the WiFi is there, and the streaming server does not answer",
            "check the network with a phone; outgoing TCP port 443 must be open",
        ),
        (false, Internet::Unknown | Internet::Yes) => Check::unknown("internet", "its network is coming up"),
        (true, Internet::Unknown) => Check::unknown("internet", "nobody has asked the streaming server yet"),
        (true, Internet::Yes) => Check::ok("internet", "the streaming server answers"),
    }
}

pub(super) fn ingest(evidence: &Evidence) -> Check {
    let Some(stream) = &evidence.stream else {
        return Check::unknown("stream", "the stream's program does not run");
    };
    let finding = if stream.reason.is_empty() {
        stream.state.clone()
    } else {
        format!("{}: {}", stream.state, stream.reason)
    };
    match stream.state.as_str() {
        "Live" | "Idle" => Check::ok("stream", finding),
        "Fault" => Check::problem(
            "stream",
            finding,
            "mend what the sentence names in spotstream.toml on the card, or on the status page",
        ),
        "Degraded" => Check::problem(
            "stream",
            finding,
            "move closer to the WiFi, or ask the camera for less: target_bitrate_kbps",
        ),
        "WaitingForAuthorization" => Check::problem(
            "stream",
            finding,
            "the robot's administrator opens https://192.168.50.3, Payloads, and authorizes the GUID of this report",
        ),
        _ => Check::unknown("stream", finding),
    }
}
