//! What netsetup's status means to the conductor.

use netsetup::view::{Internet, Reason, Status};
use spotstream_core::names::InterfaceName;
use spotstream_core::supervise::network::{Footing, Networks, Way};
use spotstream_core::supervise::state::{Problem, Remedy};

/// How the networks stand; without netsetup nobody knows.
pub fn of(status: Option<&Status>) -> Networks {
    let Some(status) = status else {
        return Networks::default();
    };
    let Status {
        robot,
        uplink,
        internet,
        reason,
        ..
    } = status;
    let missing = |own: Option<&Reason>, kind, sentence| match (own, reason) {
        // netsetup cannot do its work; the network may be of use all the same.
        (None, Some(_)) => Way::Unknown,
        (own, _) => Way::Missing(problem(own, kind, sentence)),
    };
    Networks {
        robot: if robot.ready {
            way(
                robot.interface.as_deref(),
                robot.own_address.map(|net| net.addr().into()),
            )
        } else {
            missing(
                robot.reason.as_ref(),
                "robot-network-setup",
                "the network to the robot is being set up",
            )
        },
        uplink: if uplink.ready {
            way(
                uplink.interface.as_deref(),
                uplink.address.map(|net| net.addr().into()),
            )
        } else {
            missing(
                uplink.reason.as_ref(),
                "uplink-setup",
                "the way to the internet is being set up",
            )
        },
        internet: match internet {
            Internet::No | Internet::CaptivePortal if uplink.ready => Some(problem(
                uplink.reason.as_ref(),
                "no-internet",
                "there is a way to the internet, but nothing answers there",
            )),
            Internet::No | Internet::CaptivePortal | Internet::Unknown | Internet::Yes => None,
        },
    }
}

/// A network that is ready in a way that we do not understand is tried.
fn way(interface: Option<&str>, address: Option<std::net::IpAddr>) -> Way {
    interface
        .and_then(InterfaceName::parse)
        .zip(address)
        .map_or(Way::Unknown, |(interface, address)| {
            Way::Ready(Footing { interface, address })
        })
}

fn problem(reason: Option<&Reason>, kind: &'static str, sentence: &str) -> Problem {
    match reason {
        Some(reason) => Problem::new(reason.kind.clone(), Remedy::AwaitNetwork, reason.sentence.clone()),
        None => Problem::new(kind, Remedy::AwaitNetwork, sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Status {
        let mut status = Status::default();
        status.robot.interface = Some("eth0".to_owned());
        status.robot.own_address = Some("192.168.50.21/24".parse().unwrap());
        status.robot.ready = true;
        status.uplink.interface = Some("wlan1".to_owned());
        status.uplink.address = Some("10.3.4.5/16".parse().unwrap());
        status.uplink.ready = true;
        status.internet = Internet::Yes;
        status
    }

    #[test]
    fn a_ready_network_is_stood_on_by_its_interface_and_our_address() {
        let networks = of(Some(&ready()));
        let robot = networks.robot.footing().unwrap();
        assert_eq!(
            (robot.interface.as_str(), robot.address),
            ("eth0", [192, 168, 50, 21].into())
        );
        let uplink = networks.uplink.footing().unwrap();
        assert_eq!(
            (uplink.interface.as_str(), uplink.address),
            ("wlan1", [10, 3, 4, 5].into())
        );
        assert_eq!(networks.internet, None);
    }

    #[test]
    fn a_network_is_missing_for_a_reason_of_its_own_and_tried_where_netsetup_cannot_do_its_work() {
        let mut status = ready();
        status.robot.ready = false;
        let kind = |status: &Status| of(Some(status)).robot.missing().unwrap().kind.clone();
        assert_eq!(kind(&status), "robot-network-setup");
        status.reason = Some(Reason::new("network-manager-gone", "NetworkManager does not run"));
        assert_eq!(of(Some(&status)).robot, Way::Unknown);
        status.robot.reason = Some(Reason::new("no-cable", "there is no cable"));
        assert_eq!(kind(&status), "no-cable");
    }

    #[test]
    fn no_internet_is_told_only_where_there_is_a_way_to_it() {
        let mut status = ready();
        status.internet = Internet::CaptivePortal;
        status.uplink.reason = Some(Reason::new("captive-portal", "click the page first"));
        assert_eq!(of(Some(&status)).internet.unwrap().reason, "click the page first");
        status.uplink.ready = false;
        assert_eq!(of(Some(&status)).internet, None);
    }

    #[test]
    fn nobody_knows_without_netsetup_and_what_is_not_understood_is_tried() {
        assert_eq!(of(None), Networks::default());
        let mut status = ready();
        status.robot.own_address = None;
        assert_eq!(of(Some(&status)).robot, Way::Unknown);
    }
}
