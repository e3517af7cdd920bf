use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use netsetup::edge::netlink::Kernel;
use netsetup_core::plan::Step;
use netsetup_core::routing::{MAIN_TABLE, Route};
use socket2::{Domain, Protocol, Socket, Type};

use crate::world::{address, apply_all, dead_end, in_new_namespace, ip, plug_in, route, rules, try_ip};

const ROBOT: &str = "192.168.50.3";
const CAMERA: &str = "192.168.50.6";
const OURS: &str = "192.168.50.21";
const LEASED: &str = "192.168.50.40";
const INTERNET: &str = "203.0.113.9";

/// Both sides are 192.168.50.0/24.
async fn overlapping() -> Kernel {
    plug_in();
    ip(&format!("addr add {OURS}/24 dev robot noprefixroute"));
    ip(&format!("addr add {LEASED}/24 dev uplink noprefixroute"));
    let kernel = Kernel::open().unwrap();
    let uplink = Route {
        table: MAIN_TABLE,
        source: Some(address(LEASED)),
        ..route("192.168.50.0/24", "uplink")
    };
    let gateway = Some(address("192.168.50.1"));
    let default = Route {
        gateway,
        ..Route {
            destination: "0.0.0.0/0".parse().unwrap(),
            ..uplink.clone()
        }
    };
    let robot = Route {
        source: Some(address(OURS)),
        ..route("192.168.50.0/24", "robot")
    };
    let rules = rules(LEASED, OURS, &[ROBOT, CAMERA, "10.0.0.3"]);
    apply_all(&kernel, rules.into_iter().map(Step::AddRule)).await;
    apply_all(&kernel, [dead_end(), uplink, default, robot].map(Step::AddRoute)).await;
    kernel
}

/// By which link and from which address a packet would go, or what stands in its way.
fn way(query: &str) -> Result<(String, String), String> {
    let output = try_ip(&format!("-j route get {query}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let answer: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let word = |key: &str| answer[0][key].as_str().unwrap_or_default().to_owned();
    Ok((word("dev"), word("prefsrc")))
}

fn by(link: &str, source: &str) -> Result<(String, String), String> {
    Ok((link.to_owned(), source.to_owned()))
}

fn unreachable() -> Result<(String, String), String> {
    Err("RTNETLINK answers: No route to host".to_owned())
}

/// From which address a real socket calls, or why it cannot.
fn call(kind: Type, link: Option<&str>, host: &str, port: u16) -> io::Result<Ipv4Addr> {
    let protocol = if kind == Type::STREAM {
        Protocol::TCP
    } else {
        Protocol::UDP
    };
    let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
    socket.bind_device(link.map(str::as_bytes))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SocketAddr::from(SocketAddrV4::new(address(host), port)).into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    Ok(*socket.local_addr()?.as_socket_ipv4().unwrap().ip())
}

fn both_call(link: Option<&str>, host: &str, port: u16) -> Result<Ipv4Addr, i32> {
    let [stream, datagram] = [Type::STREAM, Type::DGRAM]
        .map(|kind| call(kind, link, host, port).map_err(|error| error.raw_os_error().unwrap()));
    assert_eq!(stream, datagram, "TCP and UDP go different ways to {host}");
    stream
}

#[test]
fn who_is_bound_uses_his_side_and_who_is_not_finds_the_robot() {
    in_new_namespace(async || {
        overlapping().await;
        for host in [ROBOT, CAMERA] {
            assert_eq!(way(host), by("robot", OURS));
            assert_eq!(way(&format!("{host} oif robot")), by("robot", OURS));
            assert_eq!(way(&format!("{host} oif uplink")), by("uplink", LEASED));
            assert_eq!(way(&format!("{host} from {OURS}")).unwrap().0, "robot");
            assert_eq!(way(&format!("{host} from {LEASED}")).unwrap().0, "uplink");
            assert_eq!(both_call(None, host, 443), Ok(address(OURS)));
            assert_eq!(both_call(Some("robot"), host, 443), Ok(address(OURS)));
            assert_eq!(both_call(Some("uplink"), host, 443), Ok(address(LEASED)));
        }
        for host in [INTERNET, "192.168.50.1", "192.168.50.77"] {
            assert_eq!(way(host), by("uplink", LEASED), "{host}");
            assert_eq!(both_call(None, host, 443), Ok(address(LEASED)), "{host}");
        }
    });
}

#[test]
fn dns_goes_by_the_uplink_even_at_the_robots_own_address() {
    in_new_namespace(async || {
        overlapping().await;
        for protocol in ["udp", "tcp"] {
            assert_eq!(
                way(&format!("{ROBOT} ipproto {protocol} dport 53")),
                by("uplink", LEASED)
            );
            assert_eq!(
                way(&format!("{ROBOT} ipproto {protocol} dport 443")),
                by("robot", OURS)
            );
            assert_eq!(
                way(&format!("{ROBOT} ipproto {protocol} dport 53 oif robot")),
                by("robot", OURS)
            );
        }
        assert_eq!(both_call(None, ROBOT, 53), Ok(address(LEASED)));
        assert_eq!(both_call(Some("uplink"), ROBOT, 53), Ok(address(LEASED)));
        assert_eq!(both_call(Some("robot"), ROBOT, 53), Ok(address(OURS)));
    });
}

#[test]
fn without_the_robots_link_the_robot_is_unreachable_and_nothing_leaks() {
    in_new_namespace(async || {
        overlapping().await;
        ip("link set robot down");
        assert_eq!(way(ROBOT), unreachable());
        assert_eq!(way(&format!("{ROBOT} from {OURS}")), unreachable());
        assert_eq!(both_call(None, ROBOT, 443), Err(libc::EHOSTUNREACH));
        assert_eq!(both_call(Some("robot"), ROBOT, 443), Err(libc::ENETUNREACH));
        assert_eq!(both_call(Some("uplink"), ROBOT, 443), Ok(address(LEASED)));
        assert_eq!(both_call(None, INTERNET, 443), Ok(address(LEASED)));

        ip("link del robot");
        assert_eq!(way(ROBOT), unreachable());
        assert_eq!(both_call(None, ROBOT, 443), Err(libc::EHOSTUNREACH));
    });
}

#[test]
fn with_the_cable_pulled_and_the_routes_still_there_nothing_leaks() {
    in_new_namespace(async || {
        overlapping().await;
        ip("link set far-robot down");
        assert_eq!(way(ROBOT), by("robot", OURS));
        assert_eq!(both_call(None, ROBOT, 443), Ok(address(OURS)));
        // And with them gone, as NetworkManager does it.
        ip("addr flush dev robot");
        ip("route flush table 21328 dev robot");
        assert_eq!(way(ROBOT), unreachable());
        assert_eq!(both_call(None, ROBOT, 443), Err(libc::EHOSTUNREACH));
    });
}

#[test]
fn without_the_uplink_the_internet_is_not_sought_at_the_robot() {
    in_new_namespace(async || {
        overlapping().await;
        ip("link set uplink down");
        assert_eq!(both_call(None, INTERNET, 443), Err(libc::ENETUNREACH));
        assert_eq!(both_call(None, ROBOT, 443), Ok(address(OURS)));
        assert_eq!(way(&format!("{INTERNET} from {OURS}")), unreachable());
    });
}

#[test]
fn dns_never_leaves_by_the_robot_link_while_there_is_no_uplink() {
    in_new_namespace(async || {
        overlapping().await;
        ip("link set uplink down");
        assert_eq!(both_call(None, ROBOT, 53), Err(libc::ENETUNREACH));
        assert_eq!(both_call(None, ROBOT, 443), Ok(address(OURS)));
        assert_eq!(both_call(Some("robot"), ROBOT, 53), Ok(address(OURS)));
        ip("link set uplink up");
        ip(&format!("route add 192.168.50.0/24 dev uplink src {LEASED}"));
        assert_eq!(both_call(None, ROBOT, 53), Ok(address(LEASED)));
    });
}

#[test]
fn no_single_deletion_opens_a_way_around() {
    in_new_namespace(async || {
        overlapping().await;
        ip("route flush table 21328");
        assert_eq!(both_call(None, ROBOT, 443), Err(libc::ENETUNREACH));
        ip(&format!("rule del priority 120 to {ROBOT}"));
        assert_eq!(both_call(None, ROBOT, 443), Err(libc::ENETUNREACH));
        // What is left of the pair says no; with both gone nothing holds any more.
        ip(&format!("rule del priority 121 to {ROBOT}"));
        assert_eq!(both_call(None, ROBOT, 443), Ok(address(LEASED)));
    });
}

#[test]
fn a_bound_socket_takes_a_dead_end_for_a_host_on_its_own_link() {
    in_new_namespace(async || {
        overlapping().await;
        ip("route flush table 21328 dev robot");
        // `ip_route_output_key_hash_rcu` in net/ipv4/route.c: "apparently, routing tables are wrong".
        assert_eq!(way(&format!("{ROBOT} oif robot")), by("robot", OURS));
        assert_eq!(both_call(Some("robot"), ROBOT, 443), Ok(address(OURS)));
        assert_eq!(both_call(Some("robot"), INTERNET, 443), Ok(address(OURS)));
        // It never leaves its link, and who is not bound stays at home.
        assert_eq!(both_call(None, ROBOT, 443), Err(libc::EHOSTUNREACH));
    });
}
