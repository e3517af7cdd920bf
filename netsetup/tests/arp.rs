//! ARP probes against a real kernel, in network namespaces of their own, and tcpdump as the judge of what is sent.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that is surprised has failed"
)]

mod world;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use netsetup::edge::arp::{Error, Prober};
use netsetup_core::names::{InterfaceName, MacAddress};
use tokio::time::timeout;
use world::{LIMIT, Namespace, as_nobody, in_namespace, run};

const ROBOT: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 3);
const CAMERA: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 6);
const TAKEN: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 21);
const FREE: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 20);
const REAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const PEER: MacAddress = MacAddress([2, 0, 0, 0, 0x32, 3]);
/// Hardware addresses in hexadecimal digits: ours, and one that no kernel speaks for.
const OWN: &str = "020000000001";
const STRANGER: &str = "020000005099";

/// Sends whole frames, given in hexadecimal digits, one after the other.
const SEND: &str = "import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(('robot', 0))
for frame in sys.argv[1:]: wire.send(bytes.fromhex(frame))";

/// A cable: our end `eth0` without an address, the other in a namespace with the robot and its camera on it.
fn plug_in() -> Namespace {
    let robot = Namespace::new();
    run("ip link add eth0 address 02:00:00:00:00:01 type veth peer robot address 02:00:00:00:32:03");
    robot.take("robot");
    run("ip link set eth0 addrgenmode none up");
    for address in [ROBOT, CAMERA, TAKEN] {
        robot.run(&format!("ip address add {address}/24 dev robot"));
    }
    robot.run("ip link set robot up");
    world::wait_for_carrier("eth0");
    robot
}

fn eth0() -> InterfaceName {
    InterfaceName::parse("eth0").unwrap()
}

/// An ARP packet in hexadecimal digits: from `mac` and `address`, to us.
fn packet(operation: u8, mac: &str, address: Ipv4Addr) -> String {
    let sender = address.to_bits();
    format!("000108000604{operation:04x}{mac}{sender:08x}{OWN}00000000")
}

/// A frame to us.
fn frame(packet: &str) -> String {
    format!("{OWN}{STRANGER}0806{packet}")
}

async fn next(prober: &mut Prober) -> Result<(Ipv4Addr, MacAddress), Error> {
    timeout(LIMIT, prober.next()).await.expect("nobody answers")
}

/// All who answer until `last` does.
async fn answers_until(prober: &mut Prober, last: Ipv4Addr) -> BTreeMap<Ipv4Addr, MacAddress> {
    let mut answers = BTreeMap::new();
    while !answers.contains_key(&last) {
        let (address, mac) = next(prober).await.unwrap();
        answers.insert(address, mac);
    }
    answers
}

#[test]
fn those_who_are_there_answer_and_those_who_are_not_are_silent() {
    in_namespace(async {
        let _robot = plug_in();
        let mut prober = Prober::open(&eth0()).unwrap();
        prober.ask(&[FREE, REAR, ROBOT, CAMERA]).unwrap();
        prober.ask(&[TAKEN]).unwrap();
        // A wire keeps the order, so whoever was asked before the last has answered before it or not at all.
        let answers = answers_until(&mut prober, TAKEN).await;
        assert_eq!(
            answers,
            BTreeMap::from([(ROBOT, PEER), (CAMERA, PEER), (TAKEN, PEER)])
        );
        let more = timeout(Duration::from_millis(100), prober.next()).await;
        assert!(more.is_err(), "{more:?}");

        // arping, in its mode for duplicate addresses, finds the same: it fails when somebody answers.
        for (address, is_free) in [(TAKEN, false), (FREE, true)] {
            let mut arping = std::process::Command::new("arping");
            arping.args(["-q", "-D", "-c1", "-w1", "-I", "eth0", &address.to_string()]);
            assert_eq!(arping.status().unwrap().success(), is_free, "{address}");
        }
    });
}

#[test]
fn an_answer_that_is_not_waited_for_is_told_at_the_next_call() {
    in_namespace(async {
        let _robot = plug_in();
        let mut prober = Prober::open(&eth0()).unwrap();
        for address in [ROBOT, CAMERA, TAKEN] {
            let nobody = timeout(Duration::from_millis(20), prober.next()).await;
            assert!(nobody.is_err(), "{nobody:?}");
            prober.ask(&[address]).unwrap();
            assert_eq!(next(&mut prober).await.unwrap(), (address, PEER));
        }
    });
}

#[test]
fn tcpdump_sees_probes_as_rfc_5227_wants_them_and_nothing_else() {
    in_namespace(async {
        let robot = plug_in();
        let capture = robot.capture(
            "robot",
            "arp and ether src 02:00:00:00:00:01",
            &["-e", "-xx", "-c2"],
        );
        let before = world::sent("eth0");
        let mut prober = Prober::open(&eth0()).unwrap();
        prober.ask(&[FREE, ROBOT]).unwrap();
        next(&mut prober).await.unwrap();
        assert_eq!(world::sent("eth0") - before, 2);
        let seen = capture.lines_to_the_end();
        let heads: Vec<_> = seen.iter().filter(|line| line.contains(" > ")).collect();
        let head = |address| {
            format!(
                "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: \
                 Request who-has {address} tell 0.0.0.0, length 28"
            )
        };
        assert_eq!(heads, [&head(FREE), &head(ROBOT)], "{seen:#?}");
        let bytes: String = seen
            .iter()
            .filter(|line| line.starts_with('\t'))
            .skip(3)
            .flat_map(|line| line.split_whitespace().skip(1))
            .collect();
        let wanted =
            "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 00000000 000000000000 c0a83203";
        assert_eq!(bytes, wanted.replace(' ', ""), "{seen:#?}");
    });
}

#[test]
fn announcements_and_requests_of_others_count_and_odd_frames_do_not() {
    in_namespace(async {
        let robot = plug_in();
        robot.run("ip address flush dev robot");
        let mut prober = Prober::open(&eth0()).unwrap();
        prober.ask(&[ROBOT, CAMERA, TAKEN, FREE, REAR]).unwrap();
        let good = packet(2, STRANGER, FREE);
        let bad = [
            // Cut short, another kind of hardware, longer addresses, another operation, a group, nobody.
            frame(&good[..40]),
            frame(&good.replace("0001080006040002", "0006080006040002")),
            frame(&good.replace("0001080006040002", "0001080006100002")),
            frame(&good.replace("0001080006040002", "0001080006040003")),
            frame(&packet(2, "010000000099", FREE)),
            frame(&packet(2, "000000000000", FREE)),
            // Our own come back, an address that nobody has asked for, for another host, for a VLAN.
            frame(&packet(2, OWN, FREE)),
            frame(&packet(2, STRANGER, Ipv4Addr::new(192, 168, 50, 99))),
            frame(&good).replacen(OWN, "020000000077", 1),
            frame(&good).replacen("0806", "810000070806", 1),
        ];
        // The tag of VLAN 0 says only how urgent a frame is (IEEE 802.1Q, priority-tagged).
        let priority = frame(&packet(2, STRANGER, REAR)).replacen("0806", "8100e0000806", 1);
        let announcement = frame(&packet(1, STRANGER, TAKEN)).replacen(OWN, "ffffffffffff", 1);
        let mut arguments = vec!["-c", SEND];
        arguments.extend(bad.iter().map(String::as_str));
        arguments.extend([priority.as_str(), announcement.as_str()]);
        robot.run_with("python3", &arguments);

        let stranger = "02:00:00:00:50:99".parse().unwrap();
        assert_eq!(next(&mut prober).await.unwrap(), (REAR, stranger));
        assert_eq!(next(&mut prober).await.unwrap(), (TAKEN, stranger));

        // Another program that looks for somebody else, under an address that we asked for.
        robot.run("ip address add 192.168.50.6/24 dev robot");
        let mut arping = robot.command("arping");
        arping.args([
            "-q",
            "-c1",
            "-w1",
            "-I",
            "robot",
            "-s",
            "192.168.50.6",
            "192.168.50.99",
        ]);
        let _arping = world::Program::start(&mut arping);
        assert_eq!(next(&mut prober).await.unwrap(), (CAMERA, PEER));
    });
}

#[test]
fn more_addresses_than_the_kernel_compares_are_asked_for_all_the_same() {
    in_namespace(async {
        let _robot = plug_in();
        let many: Vec<_> = (0..600)
            .map(|host| Ipv4Addr::from_bits(0x0a14_0000 + host))
            .collect();
        let mut prober = Prober::open(&eth0()).unwrap();
        prober.ask(&many[..511]).unwrap();
        prober.ask(&[ROBOT]).unwrap();
        assert_eq!(next(&mut prober).await.unwrap(), (ROBOT, PEER));
        prober.ask(&many[511..]).unwrap();
        prober.ask(&[CAMERA]).unwrap();
        assert_eq!(next(&mut prober).await.unwrap(), (CAMERA, PEER));
    });
}

#[test]
fn an_interface_that_goes_down_is_told_and_the_same_prober_goes_on_when_it_is_up() {
    in_namespace(async {
        let _robot = plug_in();
        let mut prober = Prober::open(&eth0()).unwrap();
        let (told, ()) = tokio::join!(next(&mut prober), async {
            run("ip link set eth0 down");
        });
        let told = told.unwrap_err();
        assert_eq!(
            (told.kind(), told.is_retryable()),
            ("arp-interface-down", true),
            "{told}"
        );
        let asked = prober.ask(&[ROBOT]).unwrap_err();
        assert_eq!(asked.kind(), "arp-interface-down", "{asked}");

        run("ip link set eth0 up");
        world::wait_for_carrier("eth0");
        prober.ask(&[ROBOT]).unwrap();
        assert_eq!(next(&mut prober).await.unwrap(), (ROBOT, PEER));
    });
}

#[test]
fn an_interface_that_is_taken_away_is_gone_for_those_who_wait_and_those_who_ask() {
    in_namespace(async {
        let _robot = plug_in();
        let mut prober = Prober::open(&eth0()).unwrap();
        let (told, ()) = tokio::join!(next(&mut prober), async {
            run("ip link delete eth0");
        });
        let told = told.unwrap_err();
        assert_eq!(
            (told.kind(), told.is_retryable()),
            ("arp-interface-gone", true),
            "{told}"
        );
        assert_eq!(prober.ask(&[ROBOT]).unwrap_err().kind(), "arp-interface-gone");

        let none = Prober::open(&eth0()).unwrap_err();
        assert_eq!(none.to_string(), "failed to find the interface 'eth0'");
        let none = Prober::open(&InterfaceName::parse("lo").unwrap()).unwrap_err();
        assert_eq!(
            (none.kind(), none.is_retryable()),
            ("arp-not-ethernet", false),
            "{none}"
        );
    });
}

#[test]
fn an_ordinary_user_needs_cap_net_raw_and_nothing_else() {
    let name = "an_ordinary_user_needs_cap_net_raw_and_nothing_else";
    if let Some(capabilities) = world::capabilities_as_nobody() {
        return world::on_a_runtime(async {
            let opened = Prober::open(&eth0());
            if capabilities == "net_raw" {
                let mut prober = opened.unwrap();
                prober.ask(&[ROBOT]).unwrap();
                assert_eq!(next(&mut prober).await.unwrap(), (ROBOT, PEER));
            } else {
                let error = opened.unwrap_err();
                assert_eq!((error.kind(), error.is_retryable()), ("arp-not-permitted", false));
                assert_eq!(
                    error.to_string(),
                    "failed to open an ARP socket on 'eth0': this needs the capability CAP_NET_RAW"
                );
            }
        });
    }
    in_namespace(async move {
        let _robot = plug_in();
        as_nobody(name, "net_raw");
        as_nobody(name, "net_admin");
        as_nobody(name, "");
    });
}
